// How sure the shape is: its colours on the head, and the legend that says what they mean. The numbers travel in the
// GLB, one per vertex, so nothing is asked of the server.

import {
  DataTexture, DoubleSide, LinearFilter, MeshLambertMaterial, SRGBColorSpace, type WebGLProgramParametersWithUniforms,
} from "three";
import { h } from "./dom";

/** The same scale and colours as in pictures (`render/certainty.py`): half-width of the 95 % interval in mm. */
export const LIMIT_MM = 5;
const WITHIN_95 = 1.96;
const SEEN = 0.5;
const VIRIDIS = [[68, 1, 84], [71, 45, 123], [59, 82, 139], [44, 114, 142], [33, 145, 140], [40, 174, 128],
  [94, 201, 98], [173, 220, 48], [253, 231, 37]] as const;
const STRIPES = [[204, 207, 210], [142, 148, 154]] as const;
const STRIPE_PX = 9; // a pair of stripes, along either axis of the picture

export const NOT_SEEN = "Not seen by the camera: completed from the other side and the average face";
export const withinWords = (mm: number | null): string =>
  mm === null ? "No face was seen" : `95\u00a0% of the face lies within ±\u00a0${mm.toFixed(1)}\u00a0mm`;
const MEANING = "± mm at each place (95\u00a0%)";

const css = (c: readonly number[]): string => `rgb(${c.join(" ")})`;
const GRADIENT = `linear-gradient(to right, ${VIRIDIS.map(css).join(", ")})`;
const HATCH = `repeating-linear-gradient(135deg, ${css(STRIPES[0])} 0 4px, ${css(STRIPES[1])} 4px 7px)`;

/** Colours by share of the limit, for the graphics card. */
function ramp(): DataTexture {
  const width = 256;
  const bytes = new Uint8Array(4 * width);
  for (let i = 0; i < width; i++) {
    const at = (i / (width - 1)) * (VIRIDIS.length - 1);
    const k = Math.min(Math.floor(at), VIRIDIS.length - 2);
    for (let c = 0; c < 3; c++) bytes[4 * i + c] = Math.round(VIRIDIS[k]![c]! + (at - k) * (VIRIDIS[k + 1]![c]! - VIRIDIS[k]![c]!));
    bytes[4 * i + 3] = 255;
  }
  const texture = new DataTexture(bytes, width, 1);
  texture.colorSpace = SRGBColorSpace;
  texture.minFilter = texture.magFilter = LinearFilter;
  texture.needsUpdate = true;
  return texture;
}

const glsl = (c: readonly number[]): string => // sRGB bytes as the linear light that materials reckon in
  `vec3(${c.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4).toFixed(5)).join(", ")})`;

/** A surface coloured by `_uncertainty_mm` and striped where `_seen` is at most a half; `ratio` device px per CSS px. */
export function certaintyMaterial(ratio: number): MeshLambertMaterial {
  const material = new MeshLambertMaterial({ side: DoubleSide });
  const colors = ramp();
  material.onBeforeCompile = (shader: WebGLProgramParametersWithUniforms) => {
    shader.uniforms.certaintyRamp = { value: colors };
    shader.vertexShader = `attribute float _uncertainty_mm;\nattribute float _seen;\nvarying vec2 vCertainty;\n`
      + shader.vertexShader.replace("#include <begin_vertex>",
        "#include <begin_vertex>\n  vCertainty = vec2(_uncertainty_mm, _seen);");
    shader.fragmentShader = `uniform sampler2D certaintyRamp;\nvarying vec2 vCertainty;\n`
      + shader.fragmentShader.replace("#include <map_fragment>", `
  float share = clamp(vCertainty.x * ${(WITHIN_95 / LIMIT_MM).toFixed(6)}, 0.0, 1.0);
  vec3 known = texture2D(certaintyRamp, vec2((share * 255.0 + 0.5) / 256.0, 0.5)).rgb;
  bool dark = fract((gl_FragCoord.x - gl_FragCoord.y) / ${(STRIPE_PX * ratio).toFixed(3)}) < 0.4;
  diffuseColor.rgb = vCertainty.y > ${SEEN.toFixed(1)} ? known : (dark ? ${glsl(STRIPES[1])} : ${glsl(STRIPES[0])});`);
  };
  material.customProgramCacheKey = () => `certainty ${ratio}`;
  material.addEventListener("dispose", () => colors.dispose());
  return material;
}

/** What the colours mean, in words and mm. */
export function legend(): { element: HTMLElement; tell: (within: number | null) => void } {
  const bar = h("div", { class: "scale", role: "img", "aria-label": `Scale: dark is 0 mm, yellow is ${LIMIT_MM} mm or more` });
  bar.style.background = GRADIENT;
  const swatch = h("span", { class: "swatch", "aria-hidden": "true" });
  swatch.style.background = HATCH;
  const words = h("p", { class: "within" });
  const ticks = Array.from({ length: LIMIT_MM + 1 }, (_, mm) => h("span", {}, mm === LIMIT_MM ? `≥\u202f${mm}` : String(mm)));
  const element = h("figure", { class: "legend", hidden: true, "aria-label": "Certainty" },
    h("div", {}, bar, h("div", { class: "ticks", "aria-hidden": "true" }, ...ticks), h("p", { class: "what" }, MEANING)),
    h("div", {}, words, h("p", { class: "what" }, "Of the head as filmed, not of the plan's effect.")),
    h("p", { class: "unseen" }, swatch, NOT_SEEN));
  return { element, tell: (within) => (words.textContent = withinWords(within)) };
}

/** The legend in a saved picture, from (left, top) on; `size` is the lettering's height. */
export function drawLegend(pen: CanvasRenderingContext2D, left: number, top: number, size: number, within: number | null): void {
  const wide = size * 16;
  const colors = pen.createLinearGradient(left, 0, left + wide, 0);
  VIRIDIS.forEach((c, k) => colors.addColorStop(k / (VIRIDIS.length - 1), `rgb(${c.join(",")})`));
  pen.fillStyle = colors;
  pen.fillRect(left, top, wide, size);
  pen.font = `${size}px system-ui, sans-serif`;
  pen.textBaseline = "top";
  pen.fillStyle = "#1c2b33";
  for (let mm = 0; mm <= LIMIT_MM; mm++) {
    pen.textAlign = "center";
    pen.fillText(String(mm), left + (wide * mm) / LIMIT_MM, top + size * 1.2);
  }
  pen.textAlign = "left";
  pen.fillText("mm or more", left + wide + size * 0.6, top + size * 1.2);
  pen.fillText(`${withinWords(within)}. Colours: ${MEANING}.`, left, top + size * 2.7);
  const y = top + size * 4.2;
  pen.save();
  pen.beginPath();
  pen.rect(left, y, size * 2, size);
  pen.clip();
  pen.fillStyle = `rgb(${STRIPES[0].join(",")})`;
  pen.fillRect(left, y, size * 2, size);
  pen.strokeStyle = `rgb(${STRIPES[1].join(",")})`;
  pen.lineWidth = size / 5;
  for (let x = -size; x < size * 3; x += size / 2) {
    pen.beginPath();
    pen.moveTo(left + x, y + size);
    pen.lineTo(left + x + size, y);
    pen.stroke();
  }
  pen.restore();
  pen.fillStyle = "#1c2b33";
  pen.fillText(NOT_SEEN, left + size * 2.6, y);
}

/** Height of that legend in lettering heights. */
export const LEGEND_LINES = 6;
