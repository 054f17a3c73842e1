// The part of a case's page where the head is turned: canvas, view buttons, comparison, divider, snapshot.

import { type CaseDetail, fileUrl, type PlanResult } from "./api";
import { legend } from "./certainty";
import { button, errorCard, h } from "./dom";
import type { Look } from "./head";
import { HeadScene, type Mode, VIEWS } from "./scene";

const MODES: [Mode, string][] = [["after", "After"], ["before", "Before"], ["split", "Split"], ["side", "Side by side"]];
const LOOKS: [Look, string, string][] = [["clay", "Clay", "Shape without the colours of the skin"],
  ["certainty", "Certainty", "How near the true skin lies, in mm, and what the camera did not see"]];
const NO_CERTAINTY = "This file was made before it said how sure the shape is: reconstruct the head again";
const KEY_STEP = 0.02;

export class Stage {
  readonly element: HTMLElement;
  private readonly canvas = h("canvas", { tabindex: 0, "data-frames": 0, "aria-label":
    "The head in 3D. Drag, or use the arrow keys, to turn it; scroll or pinch to come closer." });
  private readonly divider = h("div", { class: "divider", role: "slider", tabindex: 0, hidden: true,
    "aria-label": "Divider between before and after", "aria-valuemin": 0, "aria-valuemax": 100, "aria-valuenow": 50 });
  private readonly tags = [h("span", { class: "tag left" }), h("span", { class: "tag right" })];
  private readonly modes = new Map<Mode, HTMLButtonElement>();
  private readonly compare: HTMLElement;
  private readonly closer: HTMLButtonElement;
  private readonly scene: HeadScene;
  private readonly looks = new Map<Look, HTMLButtonElement>();
  private readonly legend = legend();
  private readonly said = h("div", { class: "said", "aria-live": "polite" });
  private plan: PlanResult | null = null;

  constructor(private readonly item: CaseDetail) {
    this.scene = new HeadScene(this.canvas);
    for (const [mode, label] of MODES) {
      this.modes.set(mode, button(label, () => this.setMode(mode), "segment", { "data-mode": mode }));
    }
    this.compare = h("div", { class: "segments", role: "group", "aria-label": "Comparison" }, ...this.modes.values());
    this.closer = button("Closer", () => this.scene.approach(), "", { title: "Come close to what the plan changes" });
    for (const [look, label, title] of LOOKS) {
      this.looks.set(look, button(label, () => this.setLook(this.scene.surface === look ? "skin" : look), "",
        { "aria-pressed": "false", "data-look": look, title }));
    }
    const views = h("div", { class: "views", role: "group", "aria-label": "Standard views" },
      ...Object.entries(VIEWS).map(([name, { label }]) =>
        button(label, () => this.scene.look(name), "small", { "data-view": name })));
    this.element = h("section", { class: "stage", "aria-label": "Head" },
      h("div", { class: "view" },
        h("div", { class: "frame" }, this.canvas, ...this.tags, this.divider, this.said,
          h("span", { class: "mark", "aria-hidden": "true" }, "Simulation, not a promise of the result")),
        this.legend.element),
      h("div", { class: "tools" }, views, this.compare,
        h("div", { class: "row" }, this.closer, ...this.looks.values(), button("Save picture", () => void this.save()))));
    this.dragDivider();
    this.setMode("after");
  }

  /** Show a plan (its steps at the asked values), or the head alone. */
  async show(plan: PlanResult | null): Promise<void> {
    this.plan = plan;
    this.compare.hidden = this.closer.hidden = !plan;
    if (!plan) this.setMode("after");
    this.canvas.removeAttribute("data-ready");
    const name = plan ? `plans/${plan.id}/predicted.glb` : "head.glb";
    try {
      const head = await this.scene.load(fileUrl(this.item.id, name));
      const certain = this.looks.get("certainty")!;
      certain.disabled = !head.certain;
      certain.title = head.certain ? LOOKS[1]![2] : NO_CERTAINTY;
      this.legend.tell(head.within);
      this.setLook(this.scene.surface);
      if (plan) this.setWeights(plan.steps.map(() => 1));
      const missing = plan?.steps.filter((s) => !head.names.includes(s.name)) ?? [];
      this.said.replaceChildren(missing.length ? h("p", {}, `Not in this file: ${missing.map((s) => s.label).join(", ")}`) : "");
    } catch (error) {
      console.error(error);
      this.said.replaceChildren(errorCard({ code: "no_head", message: "The head could not be loaded.",
        hint: "Load the page again; if it fails again, predict once more." }));
    }
    this.setMode(this.scene.mode);
  }

  setWeights(weights: number[]): void {
    this.scene.setWeights(weights);
  }

  dispose(): void {
    this.scene.dispose();
  }

  private setLook(look: Look): void {
    this.scene.setLook(look);
    this.looks.forEach((b, name) => b.setAttribute("aria-pressed", String(name === look)));
    this.legend.element.hidden = look !== "certainty";
  }

  private setMode(mode: Mode): void {
    this.scene.setMode(mode);
    this.modes.forEach((b, m) => b.setAttribute("aria-pressed", String(m === mode)));
    this.divider.hidden = mode !== "split";
    const two = mode === "split" || mode === "side";
    this.tags[0]!.textContent = two || mode === "before" ? "Before" : this.plan ? "After" : "";
    this.tags[1]!.textContent = two ? "After" : "";
    this.moveDivider(this.scene.split);
  }

  private moveDivider(share: number): void {
    this.scene.setSplit(share);
    this.divider.style.left = `${this.scene.split * 100}%`;
    this.divider.setAttribute("aria-valuenow", String(Math.round(this.scene.split * 100)));
  }

  private dragDivider(): void {
    const to = (e: PointerEvent): void => {
      const box = this.canvas.getBoundingClientRect();
      this.moveDivider((e.clientX - box.left) / box.width);
    };
    this.divider.addEventListener("pointerdown", (e) => this.divider.setPointerCapture(e.pointerId));
    this.divider.addEventListener("pointermove", (e) => this.divider.hasPointerCapture(e.pointerId) && to(e));
    this.divider.addEventListener("keydown", (e) => {
      const step = { ArrowLeft: -KEY_STEP, ArrowRight: KEY_STEP, Home: -1, End: 1 }[e.key];
      if (step === undefined) return;
      e.preventDefault();
      this.moveDivider(this.scene.split + step);
    });
  }

  private async save(): Promise<void> {
    const scale = this.item.scale;
    const caption = ["Simulation, not a promise of the result", this.item.label, this.plan?.id ?? "",
      scale ? `scale ±${Math.round(scale.interval95_percent)} % (95 %)` : ""].filter(Boolean).join("  ·  ");
    const url = URL.createObjectURL(await this.scene.picture(caption));
    h("a", { href: url, download: `${this.item.id}${this.plan ? `-${this.plan.id}` : ""}.png` }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
  }
}
