// Runs the Khronos glTF validator on the files named on the command line; prints one JSON report per line.
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";

const validator = createRequire(import.meta.url)("gltf-validator");
let failed = false;
for (const path of process.argv.slice(2)) {
  const report = await validator.validateBytes(new Uint8Array(await readFile(path)), { maxIssues: 20 });
  failed ||= report.issues.numErrors > 0;
  console.log(JSON.stringify({ path, ...report.issues }));
}
process.exit(failed ? 1 : 0);
