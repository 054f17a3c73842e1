// The server's answers as types, and the calls that fetch them.

export type JobState = "queued" | "running" | "done" | "failed" | "refused" | "interrupted" | "cancelled";
export type CaseState = JobState | "ready" | "empty" | "damaged";

export interface Problem {
  code: string;
  message: string;
  hint: string;
}

export interface Job {
  id: string;
  kind: "reconstruct" | "predict";
  state: JobState;
  stage: string;
  fraction: number;
  message: string;
  error: Problem | null;
  plan: { id: string } | null;
  created_s: number;
  updated_s: number;
}

export interface JobEvent {
  job: string;
  kind: Job["kind"];
  state: JobState;
  stage: string;
  fraction: number;
  message: string;
  error: Problem | null;
  time_s: number;
}

export interface CaseSummary {
  id: string;
  label: string;
  created: string;
  state: CaseState;
  job: Job | null;
  plan_count: number;
  thumbnail: boolean;
  error: Problem | null;
}

export type Unit = "mm" | "deg" | "percent";

export interface PlanStep {
  name: string;
  label: string;
  value: number;
  unit: Unit;
}

/** What a step drags along: on average, and where tissue responds least and most. */
export interface Coupled {
  step: string;
  label: string;
  mean_mm: number;
  low_mm: number;
  high_mm: number;
  mark: string;
}

export interface PlanResult {
  id: string;
  plan: { procedures: { procedure: string; intensity: number | null }[] };
  steps: PlanStep[];
  warnings: string[];
  couplings: Coupled[];
  volume_added_ml: number;
  volume_removed_ml: number;
  views: string[];
}

export interface CaseDetail extends CaseSummary {
  head: boolean;
  quality: boolean;
  scale: { source: string; interval95_percent: number } | null;
  views: string[];
  plans: PlanResult[];
}

export interface ProcedureStep {
  name: string;
  label: string;
  unit: Unit;
  typical: number;
  maximum: number;
  clamp: [number, number];
  preset: boolean;
  evidence: { typical: { mark: string; source: string } };
}

export interface Procedure {
  name: string;
  label: string;
  description: string;
  steps: ProcedureStep[];
}

/** An answer of the server that says what went wrong and what to do. */
export class Refused extends Error {
  constructor(readonly problem: Problem) {
    super(problem.message);
  }
}

const ROOT = "/api/v1";
const CHANGES = { "X-Previsage": "1" };
const NO_SERVER: Problem = {
  code: "no_server",
  message: "The server does not answer.",
  hint: "See whether `previsage serve` is still running, then try again.",
};

export const caseUrl = (id: string, rest = ""): string => `${ROOT}/cases/${encodeURIComponent(id)}${rest}`;
export const fileUrl = (id: string, name: string): string => caseUrl(id, `/files/${name}`);

async function call<T>(path: string, init: RequestInit = {}): Promise<T> {
  let response: Response;
  try {
    response = await fetch(path, init);
  } catch {
    throw new Refused(NO_SERVER);
  }
  if (response.status === 204) return undefined as T;
  const body: unknown = await response.json().catch(() => ({}));
  if (!response.ok) throw new Refused(problemOf(response.status, body));
  return body as T;
}

function problemOf(status: number, body: unknown): Problem {
  const said = (body ?? {}) as { code?: string; title?: string; detail?: string };
  return {
    code: said.code ?? `http_${status}`,
    message: said.title ?? `The server answered ${status}.`,
    hint: said.detail ?? "Try again.",
  };
}

export const listCases = async (): Promise<CaseSummary[]> =>
  (await call<{ cases: CaseSummary[] }>(`${ROOT}/cases`)).cases;
export const getCase = (id: string): Promise<CaseDetail> => call(caseUrl(id));
export const getProcedures = (): Promise<Record<string, Procedure>> => call(`${ROOT}/procedures`);
export const deleteCase = (id: string): Promise<void> => call(caseUrl(id), { method: "DELETE", headers: CHANGES });
export const cancelJob = (id: string): Promise<CaseSummary> =>
  call(caseUrl(id, "/job/cancel"), { method: "POST", headers: CHANGES });
export const retryJob = (id: string): Promise<CaseSummary> =>
  call(caseUrl(id, "/job/retry"), { method: "POST", headers: CHANGES });

export interface PlannedProcedure {
  procedure: string;
  intensity?: number;
  values?: Record<string, number>;
}

export const predict = (id: string, procedures: PlannedProcedure[]): Promise<CaseSummary> =>
  call(caseUrl(id, "/predict"), {
    method: "POST",
    headers: { ...CHANGES, "Content-Type": "application/json" },
    body: JSON.stringify({ procedures }),
  });

/** Send files; `onSent` hears the share (0..1) that is on its way. fetch cannot tell that, so this is an XMLHttpRequest. */
export function uploadCase(form: FormData, onSent: (share: number) => void): Promise<CaseSummary> {
  return new Promise((resolve, reject) => {
    const request = new XMLHttpRequest();
    request.open("POST", `${ROOT}/cases`);
    request.setRequestHeader("X-Previsage", "1");
    request.responseType = "json";
    request.upload.onprogress = (e) => onSent(e.lengthComputable ? e.loaded / e.total : 0);
    request.onerror = () => reject(new Refused(NO_SERVER));
    request.onload = () =>
      request.status === 202
        ? resolve(request.response as CaseSummary)
        : reject(new Refused(problemOf(request.status, request.response)));
    request.send(form);
  });
}

/** Follow a case's job. Returns a function that stops listening. */
export function followJob(
  id: string,
  heard: (event: JobEvent) => void,
  ended: (job: Job | null) => void,
  connection: (connected: boolean) => void,
): () => void {
  const source = new EventSource(caseUrl(id, "/events"));
  source.onopen = () => connection(true);
  source.onerror = () => connection(false); // the browser tries again by itself, with Last-Event-ID
  source.addEventListener("job", (e) => heard(JSON.parse((e as MessageEvent<string>).data) as JobEvent));
  source.addEventListener("end", (e) => {
    source.close();
    ended(JSON.parse((e as MessageEvent<string>).data) as Job | null);
  });
  return () => source.close();
}
