// The rendered views: what is shown where a browser cannot draw in 3D.

import { type CaseDetail, fileUrl, type PlanResult } from "./api";
import { h } from "./dom";

const WORD = (name: string): string => name.replaceAll("_", " ").replaceAll("-", " ");

/** The rendered views of the head and of a plan, with the reason. */
export function pictures(item: CaseDetail, plan: PlanResult | null): HTMLElement {
  const shots = [
    ...item.views.map((v) => [`Before: ${WORD(v)}`, fileUrl(item.id, `views/${v}.png`)] as const),
    ...(plan?.views ?? []).map((v) => [`Plan: ${WORD(v)}`, fileUrl(item.id, `plans/${plan!.id}/views/${v}.png`)] as const),
  ];
  return h("section", { class: "card nowebgl", role: "note" },
    h("h2", {}, "This browser cannot draw in 3D"),
    h("p", {}, "WebGL is switched off or missing, as on many remote desktops. Use another browser or computer to turn the " +
      "head; until then, these are the rendered standard views."),
    shots.length
      ? h("div", { class: "shots" }, ...shots.map(([name, src]) =>
          h("figure", {}, h("img", { src, alt: name, loading: "lazy" }), h("figcaption", {}, name))))
      : h("p", { class: "muted" }, "No views are rendered yet."));
}
