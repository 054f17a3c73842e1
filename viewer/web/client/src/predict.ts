// The form that asks for a prediction: an operation, its strength, and single steps for those who want them.

import { type PlannedProcedure, predict, type Procedure, type ProcedureStep } from "./api";
import { button, errorCard, freshId, h, quantity } from "./dom";

const TYPICAL = 55;
const EVIDENCE: Record<string, string> = {
  M: "measured", V: "review", P: "practice", T: "textbook", D: "derived", E: "engineering assumption",
};

/** `first` is the operation chosen at the start; `started` is called once the server has taken the request. */
export function predictForm(
  id: string, procedures: Record<string, Procedure>, first: string | undefined, started: () => void,
): HTMLElement {
  const known = Object.values(procedures);
  const choice = h("select", { id: freshId(), name: "procedure" },
    ...known.map((p) => h("option", { value: p.name, selected: p.name === first }, p.label)));
  const strength = h("input", { id: freshId(), name: "intensity", type: "range", min: 0, max: 100, step: 5, value: TYPICAL });
  const shown = h("output", { class: "value", for: strength.id });
  const about = h("p", { class: "muted" });
  const steps = h("div", { class: "steps" });
  const fine = h("details", { class: "fine" }, h("summary", {}, "Set single steps"), steps);
  const said = h("div", { "aria-live": "polite" });
  const fields = new Map<ProcedureStep, HTMLInputElement>();
  let touched = false;
  const procedure = (): Procedure => procedures[choice.value] ?? known[0]!;

  const follow = (): void => {
    shown.textContent = `${strength.value} %`;
    strength.setAttribute("aria-valuetext", `${strength.value} per cent`);
    touched = false;
    fields.forEach((field, step) => (field.value = at(step, Number(strength.value))));
  };
  const change = (): void => {
    about.textContent = procedure().description;
    fields.clear();
    steps.replaceChildren(...procedure().steps.map((step) => stepField(step, fields, () => (touched = true))));
    follow();
  };
  const ask = async (): Promise<void> => {
    if ([...fields.values()].some((field) => !field.reportValidity())) return;
    go.disabled = true;
    said.replaceChildren();
    try {
      await predict(id, [asked(procedure(), Number(strength.value), touched ? fields : null)]);
      started();
    } catch (error) {
      said.replaceChildren(errorCard(error));
    } finally {
      go.disabled = false;
    }
  };
  const go = button("Predict", () => void ask(), "primary", { "data-act": "predict" });
  choice.addEventListener("change", change);
  strength.addEventListener("input", follow);
  change();
  return h("section", { class: "card predict", "aria-label": "New plan" },
    h("h2", {}, "New plan"),
    h("label", { for: choice.id }, "Operation"), choice, about,
    h("div", { class: "slider" }, h("label", { for: strength.id }, "Intensity"), shown, strength,
      h("span", { class: "ends" }, h("span", {}, "none"), h("span", {}, "typical 55 %"), h("span", {}, "maximum"))),
    fine, said, h("div", { class: "row" }, go));
}

function stepField(step: ProcedureStep, fields: Map<ProcedureStep, HTMLInputElement>, touched: () => void): HTMLElement {
  const field = h("input", { id: freshId(), type: "number", min: step.clamp[0], max: step.clamp[1], step: "any",
    inputmode: "decimal", "data-step": step.name });
  field.addEventListener("input", touched);
  fields.set(step, field);
  const { mark, source } = step.evidence.typical;
  const limits = `${quantity(step.clamp[0], step.unit)} to ${quantity(step.clamp[1], step.unit)}`;
  return h("label", { for: field.id, title: source },
    h("span", {}, step.label, " ", h("small", {}, `${limits} · ${EVIDENCE[mark] ?? mark}`)),
    field);
}

/** The catalogue's rule: linear, the maximum at 100; some steps are left alone unless they are named. */
const at = (step: ProcedureStep, intensity: number): string =>
  String(step.preset ? Math.round(step.maximum * intensity) / 100 : 0);

function asked(
  procedure: Procedure, intensity: number, fields: Map<ProcedureStep, HTMLInputElement> | null,
): PlannedProcedure {
  if (!fields) return { procedure: procedure.name, intensity };
  const values = Object.fromEntries([...fields].map(([step, field]) => [step.name, Number(field.value)]));
  return { procedure: procedure.name, values };
}
