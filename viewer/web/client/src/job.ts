// A job as it goes: a bar, the stages in plain words, a way to stop it.

import { cancelJob, followJob, type Job, type JobEvent } from "./api";
import { button, h } from "./dom";

export interface JobPanel {
  element: HTMLElement;
  stop: () => void;
}

/** Show a job until it ends: `staged` hears of each new stage, `ended` how it went. Events of earlier jobs are passed over. */
export function jobPanel(id: string, job: Job, staged: () => void, ended: (job: Job | null) => void): JobPanel {
  const bar = h("progress", { max: 1, value: job.fraction, "aria-label": "Progress" });
  const words = h("p", { class: "now", role: "status" }, sentence(job.message));
  const percent = h("span", { class: "percent" }, `${Math.round(job.fraction * 100)} %`);
  const stages = h("ol", { class: "stages" });
  const lost = h("p", { class: "muted", hidden: true }, "The connection was lost; trying again. The work goes on.");
  const cancel = button("Cancel", () => {
    cancel.disabled = true;
    cancelJob(id).catch(() => (cancel.disabled = false));
  }, "quiet");
  const title = job.kind === "reconstruct" ? "Building the head" : "Predicting the operation";
  const element = h("section", { class: "card job", "data-job": job.id },
    h("div", { class: "row spread" }, h("h2", {}, title), percent), bar, words, stages, lost,
    h("div", { class: "row" }, cancel));
  const seen: string[] = [];

  const heard = (event: JobEvent): void => {
    if (event.job !== job.id) return;
    bar.value = event.fraction;
    percent.textContent = `${Math.round(event.fraction * 100)} %`;
    words.textContent = sentence(event.message);
    element.dataset.state = event.state;
    if (event.state !== "running" || !event.stage || event.stage === "start") return;
    if (seen.at(-1) !== event.stage) {
      seen.push(event.stage);
      stages.append(h("li", {}, sentence(event.stage)));
      staged();
    }
  };
  const stop = followJob(id, heard, ended, (connected) => (lost.hidden = connected));
  return { element, stop };
}

/** A message with a capital letter. */
function sentence(text: string): string {
  return text ? text[0]!.toUpperCase() + text.slice(1) : "";
}
