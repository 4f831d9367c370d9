/** A typed client for the API of a Reelgraph site: paths, bodies and answers come from its OpenAPI document. */

import createFetchClient, { type Client } from "openapi-fetch";
import type { components, paths } from "./schema.js";

export type { components, paths };
export type Schemas = components["schemas"];
export type Reelgraph = Client<paths>;

const TRY_AGAIN = [429, 503]; // refused before anything changed

export interface Options {
  /** rg_...; without it only what every visitor of the site may read. */
  key?: string;
  /** How often a request that was refused with 429 or 503 is sent in all. */
  attempts?: number;
  /** A longer wait, in seconds, is not begun: the refusal is thrown at once. */
  longestWait?: number;
  /** For a proxy, or a runtime without fetch. */
  fetch?: (request: Request) => Promise<Response>;
}

/** The site refused (a problem document, RFC 9457); `errors` name the fields. */
export class Problem extends Error {
  constructor(
    readonly status: number,
    readonly title: string,
    readonly detail: string,
    readonly errors: Schemas["FieldProblem"][] = [],
    /** Seconds, where the site said. */
    readonly retryAfter?: number,
  ) {
    super(`${status} ${title}: ${detail}`);
    this.name = "Problem";
  }
}

/** Make a client of the site at this address. Its methods throw `Problem` for whatever the site refuses. */
export function createClient(site: string, options: Options = {}): Reelgraph {
  const client = createFetchClient<paths>({
    baseUrl: site.replace(/\/+$/, ""),
    headers: options.key === undefined ? {} : { Authorization: `Bearer ${options.key}` },
    fetch: (request) => fetchPatiently(request, options),
  });
  client.use({
    async onResponse({ response }) {
      if (!response.ok) throw await problemOf(response);
    },
  });
  return client;
}

/** Return an interaction with an id of its own: sent again it has no second effect. */
export function interaction(
  visitor: string,
  movie: Schemas["InteractionIn"]["movie_id"],
  kind: Schemas["InteractionIn"]["kind"],
  more: Partial<Schemas["InteractionIn"]> = {},
): Schemas["InteractionIn"] {
  return { visitor, movie_id: movie, kind, client_event_id: crypto.randomUUID(), ...more };
}

/** Yield one list after the other, in which no film comes twice, until there are no more films. Needs a key. */
export async function* endless(
  client: Reelgraph,
  request: () => Schemas["RecommendRequest"],
): AsyncGenerator<Schemas["RecommendOut"]> {
  let after: string | undefined;
  for (;;) {
    const onwards = after === undefined ? { endless: true } : { after };
    const { data } = await client.POST("/api/v1/recommend", { body: { ...request(), ...onwards } });
    if (data === undefined || data.recommendations.length === 0) return;
    yield data;
    after = data.recommendation_id;
  }
}

async function fetchPatiently(request: Request, options: Options): Promise<Response> {
  const { attempts = 4, longestWait = 30, fetch: send = fetch } = options;
  for (let attempt = 1; ; attempt++) {
    const response = await send(request.clone());
    const wait = secondsOf(response) ?? 0.25 * 2 ** (attempt - 1) * (1 + Math.random());
    if (!TRY_AGAIN.includes(response.status) || attempt >= attempts || wait > longestWait) return response;
    await new Promise((resume) => setTimeout(resume, wait * 1000));
  }
}

async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  let said: Partial<Schemas["ProblemDetails"]> = {};
  try {
    said = JSON.parse(text) as Partial<Schemas["ProblemDetails"]>;
  } catch {
    // A proxy before the site says it in words of its own.
  }
  const detail = said.detail ?? text.slice(0, 200);
  return new Problem(response.status, said.title ?? response.statusText, detail, said.errors, secondsOf(response));
}

/** Return the seconds of a Retry-After header, which holds seconds or a date. */
function secondsOf(response: Response): number | undefined {
  const value = response.headers.get("Retry-After");
  if (value === null) return undefined;
  const seconds = /^\d+$/.test(value.trim()) ? Number(value) : (Date.parse(value) - Date.now()) / 1000;
  return Number.isNaN(seconds) ? undefined : Math.max(seconds, 0);
}
