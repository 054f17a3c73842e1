// Elements without a framework. Text is always set as text, never as HTML.

import { Refused, type Problem } from "./api";

type Child = Node | string | null | false;
type Props = Record<string, string | number | boolean | EventListener | null | undefined>;

/** Make an element: `on...` properties are listeners, everything else is an attribute. */
export function h<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  props: Props = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props)) {
    if (typeof value === "function") element.addEventListener(name.slice(2).toLowerCase(), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, String(value));
  }
  element.append(...children.filter((c): c is Node | string => c !== null && c !== false));
  return element;
}

let counter = 0;

/** A fresh id, for labels. */
export const freshId = (): string => `e${++counter}`;

export const button = (label: string, onClick: () => void, kind = "", more: Props = {}): HTMLButtonElement =>
  h("button", { type: "button", class: `button ${kind}`.trim(), onClick, ...more }, label);

/** What went wrong and what to do, as a card that a screen reader speaks. */
export function errorCard(error: unknown, ...actions: Child[]): HTMLElement {
  const problem = problemOf(error);
  return h(
    "div",
    { class: "card error", role: "alert", "data-code": problem.code },
    h("h2", {}, problem.message),
    problem.hint ? h("p", {}, problem.hint) : null,
    actions.length ? h("div", { class: "row" }, ...actions) : null,
  );
}

export function problemOf(error: unknown): Problem {
  if (error instanceof Refused) return error.problem;
  if (typeof error === "object" && error !== null && "code" in error && "hint" in error) return error as Problem;
  console.error(error);
  return { code: "page_failed", message: "The page failed.", hint: "Load it again." };
}

export const UNIT = { mm: "mm", deg: "°" } as const;

/** A quantity as a person reads it: "-1.5 mm", "8°". */
export function quantity(value: number, unit: "mm" | "deg" | "percent"): string {
  const digits = (Math.round(value * 10) / 10 + 0).toFixed(1).replace("-", "\u2212");
  return digits + { mm: " mm", deg: "\u00b0", percent: " %" }[unit];
}

export function date(iso: string): string {
  const at = new Date(iso);
  return Number.isNaN(at.getTime()) ? "" : at.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
}
