// The sliders of a plan: one for each step, in its own unit. Moving one asks nothing of the server.

import type { PlanResult, PlanStep, Procedure, ProcedureStep } from "./api";
import { button, freshId, h, quantity } from "./dom";

/** Steps of the catalogue by the name that morph targets carry: `procedure.step`. */
export function catalogue(procedures: Record<string, Procedure>): Map<string, ProcedureStep> {
  return new Map(Object.values(procedures).flatMap((p) => p.steps.map((s) => [`${p.name}.${s.name}`, s] as const)));
}

/** Sliders for `plan`; `changed` hears the weights of all its morph targets. */
export function sliders(
  plan: PlanResult, steps: Map<string, ProcedureStep>, changed: (weights: number[]) => void,
): HTMLElement {
  const weights = plan.steps.map(() => 1);
  const setters: ((share: number) => void)[] = [];
  const rows = plan.steps.map((step, n) => {
    if (step.value === 0) return null; // the plan leaves it alone, so its morph has no direction to move in
    const known = steps.get(step.name.replace(/\.(left|right)$/, ""));
    const { element, set } = slider(step, known, (weight) => {
      weights[n] = weight;
      changed(weights);
    });
    setters.push(set);
    return element;
  });
  const all = (share: number): void => setters.forEach((set) => set(share));
  return h("div", { class: "sliders" }, ...rows.filter((row) => row !== null),
    h("div", { class: "row" },
      button("As planned", () => all(1)),
      button("Reset to original", () => all(0))));
}

function slider(
  step: PlanStep, known: ProcedureStep | undefined, moved: (weight: number) => void,
): { element: HTMLElement; set: (share: number) => void } {
  const [low, high] = range(step, known);
  const id = freshId();
  const shown = h("output", { for: id, class: "value" });
  const input = h("input", { id, type: "range", min: low, max: high, step: step.unit === "mm" ? 0.1 : 0.5,
    "data-step": step.name });
  const tell = (): void => {
    // the planned value need not lie on the slider's raster, and is meant when the thumb stands nearest to it
    const raw = Number(input.value);
    const value = Math.abs(raw - step.value) <= Number(input.step) / 2 + 1e-9 ? step.value : raw;
    shown.textContent = quantity(value, step.unit);
    input.setAttribute("aria-valuetext", quantity(value, step.unit));
    moved(value / step.value);
  };
  input.addEventListener("input", tell);
  input.value = String(step.value);
  shown.textContent = quantity(step.value, step.unit);
  input.setAttribute("aria-valuetext", quantity(step.value, step.unit));
  const element = h("div", { class: "slider" },
    h("label", { for: id }, step.label), shown, input,
    h("span", { class: "ends" },
      h("span", {}, quantity(low, step.unit)),
      h("span", {}, `planned ${quantity(step.value, step.unit)}`),
      h("span", {}, quantity(high, step.unit))));
  return {
    element,
    set: (share) => {
      input.value = String(step.value * share);
      tell();
    },
  };
}

/** The catalogue's range, widened when a plan asks for more; around the asked value when the step is unknown. */
function range(step: PlanStep, known: ProcedureStep | undefined): [number, number] {
  const [low, high] = known?.clamp ?? [Math.min(0, step.value * 1.5), Math.max(0, step.value * 1.5)];
  return [Math.min(low, step.value), Math.max(high, step.value)];
}
