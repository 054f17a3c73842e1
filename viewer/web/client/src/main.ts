// The router: #/ lists the cases, #/case/ID shows one.

import "./style.css";
import { showCase } from "./case";
import { errorCard } from "./dom";
import { showList } from "./list";

/** A page draws itself into `root` and returns what must be undone when it is left. */
export type Leave = () => void;

const root = document.querySelector<HTMLElement>("#main")!;
let leave: Leave = () => {};
let visit = 0;

async function route(): Promise<void> {
  const here = ++visit;
  leave();
  leave = () => {};
  root.replaceChildren();
  const match = /^#\/case\/([A-Za-z0-9][A-Za-z0-9._-]{0,63})$/.exec(location.hash);
  try {
    const left = match?.[1] ? await showCase(root, match[1]) : await showList(root);
    if (here === visit) leave = left;
    else left();
  } catch (error) {
    if (here === visit) root.replaceChildren(errorCard(error));
  }
}

addEventListener("hashchange", () => void route());
document.querySelector(".skip")?.addEventListener("click", (e) => {
  e.preventDefault();
  root.focus();
});
void route();
