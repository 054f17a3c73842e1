// One case: the work while it goes on, then the head, its plans and the form for a new one.

import {
  type CaseDetail, type Coupled, fileUrl, getCase, getProcedures, type Job, type PlanResult, type Procedure, retryJob,
} from "./api";
import { button, date, errorCard, h, quantity } from "./dom";
import { jobPanel } from "./job";
import type { Leave } from "./main";
import { catalogue, sliders } from "./panel";
import { pictures } from "./pictures";
import { predictForm } from "./predict";
import { hasWebGL } from "./scene";
import { Stage } from "./stage";

const AT_WORK = ["queued", "running", "interrupted"];

export async function showCase(root: HTMLElement, id: string): Promise<Leave> {
  const page = new CasePage(root, id);
  await page.draw();
  return () => page.leave();
}

class CasePage {
  private item!: CaseDetail;
  private procedures: Record<string, Procedure> = {};
  private stage: Stage | null = null;
  private stopJob: Leave = () => {};
  private left = false;
  private readonly work = h("div", { class: "work" });
  private readonly plans = h("div", { class: "plans" });

  constructor(private readonly root: HTMLElement, private readonly id: string) {}

  leave(): void {
    this.left = true;
    this.stopJob();
    this.stage?.dispose();
    this.stage = null;
  }

  /** The page from the start: a head if there is one, and the job if one is going on. */
  async draw(selected?: string): Promise<void> {
    this.item = await getCase(this.id);
    if (this.left) return;
    document.title = `${this.item.label} · Previsage`;
    this.stage?.dispose();
    this.stage = null;
    this.work.replaceChildren();
    this.plans.replaceChildren();
    this.root.replaceChildren(h("div", { class: "page" }, this.heading(), this.item.head ? this.body() : this.work));
    this.follow();
    if (!this.item.head) return;
    try {
      this.procedures = await getProcedures();
    } catch (error) {
      this.work.append(errorCard(error)); // what is predicted already can still be looked at
    }
    if (this.left) return;
    await this.choose(this.item.plans.find((p) => p.id === selected) ?? this.item.plans.at(-1) ?? null);
  }

  private heading(): HTMLElement {
    const { scale } = this.item;
    return h("div", { class: "heading" },
      h("a", { href: "#/", class: "button quiet" }, "‹ Cases"),
      h("h1", {}, this.item.label),
      h("span", { class: "muted" }, date(this.item.created)),
      scale ? h("span", { class: "chip", title: "Every length shown has this 95 % interval" },
        `scale: ${scale.source}, ±${scale.interval95_percent.toFixed(scale.interval95_percent < 3 ? 1 : 0)} % (95 %)`) : null);
  }

  private body(): HTMLElement {
    if (hasWebGL()) this.stage = new Stage(this.item);
    return h("div", { class: "columns" },
      this.stage?.element ?? h("div", { class: "stage" }),
      h("div", { class: "side" }, this.work, this.plans));
  }

  /** Show the job while it goes on, and how it ended when that needs an answer. */
  private follow(): void {
    this.stopJob();
    const job = this.item.job;
    if (job && AT_WORK.includes(job.state)) {
      const quality = h("div", {}, ...this.qualityPicture());
      const panel = jobPanel(this.id, job, () => void this.lookForQuality(quality), (ended) => void this.ended(ended));
      this.stopJob = panel.stop;
      this.work.replaceChildren(panel.element, quality);
    } else if (job && job.state !== "done") {
      const error = job.error ?? { code: job.state, message: "The work was cancelled.", hint: "Start it again, or go back." };
      const again = job.state === "refused" ? null : button("Try again", () => void this.again(), "primary");
      this.work.replaceChildren(
        errorCard(error, again, h("a", { class: "button", href: "#/" }, job.state === "refused" ? "Upload another" : "Back")),
        ...this.qualityPicture());
    } else if (this.item.error) {
      this.work.replaceChildren(errorCard(this.item.error));
    } else if (!this.item.head) {
      this.work.replaceChildren(h("p", { class: "muted" }, "This case has no head yet."));
    }
  }

  private qualityPicture(): HTMLElement[] {
    if (!this.item.quality) return [];
    return [h("figure", { class: "card quality" },
      h("img", { src: fileUrl(this.id, "quality.png"), alt: "Quality of the capture" }),
      h("figcaption", {}, "Quality of the capture"))];
  }

  /** The capture's quality is known before the head is: show it as soon as it is there. */
  private async lookForQuality(place: HTMLElement): Promise<void> {
    if (this.item.quality || this.item.head) return;
    const now = await getCase(this.id).catch(() => this.item); // the job's own events tell of a lost server
    this.item.quality = now.quality;
    place.replaceChildren(...this.qualityPicture());
  }

  private async ended(job: Job | null): Promise<void> {
    if (this.left) return;
    await this.draw(job?.plan?.id).catch((error: unknown) => this.root.replaceChildren(errorCard(error)));
  }

  private async again(): Promise<void> {
    await retryJob(this.id).catch((error: unknown) => this.work.append(errorCard(error)));
    await this.draw();
  }

  /** Load a plan (or the head alone) and draw its controls. */
  private async choose(plan: PlanResult | null): Promise<void> {
    const panel = plan
      ? sliders(plan, catalogue(this.procedures), (weights) => this.stage?.setWeights(weights))
      : h("p", { class: "muted" }, "No plan yet. Choose an operation below.");
    this.plans.replaceChildren(
      ...(this.item.plans.length ? [this.tabs(plan)] : []),
      h("section", { class: "card", "aria-label": "Plan" }, h("h2", {}, plan ? this.titleOf(plan) : "Original"), panel,
        ...(plan ? facts(plan) : [])),
      !Object.keys(this.procedures).length ? "" : this.busy() ? h("p", { class: "muted" }, "A new plan can be asked for when the work is done.")
        : predictForm(this.id, this.procedures, plan?.plan.procedures[0]?.procedure, () => void this.draw()),
      ...this.details());
    if (this.stage) return this.stage.show(plan);
    this.root.querySelector(".stage")?.replaceChildren(pictures(this.item, plan));
    this.plans.querySelectorAll<HTMLInputElement>(".sliders input, .sliders button").forEach((e) => (e.disabled = true));
  }

  private busy(): boolean {
    return this.item.job !== null && AT_WORK.includes(this.item.job.state);
  }

  private tabs(current: PlanResult | null): HTMLElement {
    const tab = (label: string, plan: PlanResult | null): HTMLElement =>
      button(label, () => void this.choose(plan), "segment",
        { "aria-pressed": String(plan === current), "data-plan": plan?.id ?? "" });
    return h("div", { class: "segments wrap", role: "group", "aria-label": "Plans" },
      tab("Original", null), ...this.item.plans.map((p) => tab(p.id, p)));
  }

  private titleOf(plan: PlanResult): string {
    return plan.plan.procedures.map((p) => this.procedures[p.procedure]?.label ?? p.procedure).join(" + ") || plan.id;
  }

  private details(): HTMLElement[] {
    if (!this.item.quality) return [];
    return [h("details", { class: "card" }, h("summary", {}, "Quality of the capture"),
      h("img", { class: "wide", src: fileUrl(this.id, "quality.png"), alt: "Quality of the capture", loading: "lazy" }))];
  }
}

/** One thing that is dragged along, with its band. */
function alsoMoves(c: Coupled): string {
  return `Also moves: ${c.label} ${quantity(c.mean_mm, "mm")} (${quantity(c.low_mm, "mm")} to ${quantity(c.high_mm, "mm")}).`;
}

/** Volumes, couplings and warnings of a plan. */
function facts(plan: PlanResult): HTMLElement[] {
  const volume = `Volume removed ${plan.volume_removed_ml.toFixed(1)} ml, added ${plan.volume_added_ml.toFixed(1)} ml (as planned).`;
  return [
    h("p", { class: "muted" }, volume),
    ...(plan.couplings.length ? [h("ul", { class: "muted" }, ...plan.couplings.map((c) => h("li", {}, alsoMoves(c))))] : []),
    ...(plan.warnings.length ? [h("ul", { class: "warnings" }, ...plan.warnings.map((w) => h("li", {}, w)))] : []),
  ];
}
