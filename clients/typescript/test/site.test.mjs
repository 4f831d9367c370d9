// Against a running site, whose address and key the environment names. The project's tests start one:
// movie/api/tests/test_typescript_client.py.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Problem, createClient, endless, interaction } from "../dist/index.js";

const site = process.env.REELGRAPH_URL;
const client = createClient(site, { key: process.env.REELGRAPH_KEY });
const idsOf = (list) => list.recommendations.map((film) => film.movie_id);

test("a history gets a list, with filters, pins and reasons", async () => {
  const { data } = await client.POST("/api/v1/recommend", {
    body: {
      history: [1, { movie_id: 3, rating: 4.5 }],
      k: 5,
      explain: true,
      filters: { genres_out: ["Horror"], attributes: {} },
      rules: { pins: [{ movie_id: 9, rank: 1, name: "of the week" }] },
    },
  });
  assert.equal(data.recommendations.length, 5);
  assert.equal(data.recommendations[0].movie_id, 9);
  assert.deepEqual(data.recommendations[0].rules, ["of the week"]);
  assert.ok(data.recommendations.every((film) => film.movie_id % 2 === 1 && film.reasons !== null));
});

test("an endless list repeats nothing", async () => {
  const shown = [];
  for await (const list of endless(client, () => ({ history: [1], k: 10 }))) shown.push(...idsOf(list));
  assert.equal(shown.length, 23);
  assert.equal(new Set(shown).size, 23);
});

test("an interaction is stored once and the next list follows from it", async () => {
  const rated = interaction("reader-42", 5, "rating", { value: 4.5 });
  for (const stored of [1, 0]) {
    const { data } = await client.POST("/api/v1/interactions", { body: rated });
    assert.deepEqual([data.stored, data.repeated], [stored, 1 - stored]);
  }
  const { data } = await client.GET("/api/v1/recommend/{user_id}", {
    params: { path: { user_id: "reader-42" }, query: { k: 24 } },
  });
  assert.ok(!idsOf(data).includes(5));
});

test("films of one's own are written and read by their own ids", async () => {
  const { data } = await client.PUT("/api/v1/movies", { body: [{ id: "library:heat", title: "Heat", year: 1995 }] });
  assert.equal(data.results[0].outcome, "added");
  const found = await client.GET("/api/v1/movies/{movie_id}", { params: { path: { movie_id: "library:heat" } } });
  assert.equal(found.data.title, "Heat");
});

test("an experiment is defined, deleted, answered and promoted", async () => {
  const path = { name: "rows" };
  const body = {
    name: "rows",
    arms: [
      { name: "control", model: "popular", share: 0.5, is_control: true },
      { name: "new", model: "neighbours", share: 0.5 },
    ],
  };
  await client.POST("/api/v1/experiments", { body });
  const { data: deleted } = await client.DELETE("/api/v1/experiments/{name}", { params: { path } });
  assert.deepEqual([deleted.name, deleted.state], ["rows", "draft"]);
  await client.POST("/api/v1/experiments", { body });
  await client.POST("/api/v1/experiments/{name}/start", { params: { path } });
  const { data: list } = await client.POST("/api/v1/recommend", { body: { user_id: "reader-42", k: 3 } });
  assert.equal(list.experiment.name, "rows");
  assert.equal(list.model, { control: "popular", new: "neighbours" }[list.experiment.arm]);
  const { data } = await client.POST("/api/v1/experiments/{name}/promote", { params: { path }, body: { arm: "new" } });
  assert.deepEqual([data.promoted, data.state, data.verdict.winner], ["neighbours", "ended", null]);
});

test("a refusal is thrown with its fields", async () => {
  const wrong = client.POST("/api/v1/recommend", { body: { history: [1, { movie_id: 2, rating: 9 }] } });
  await assert.rejects(wrong, (problem) => {
    assert.ok(problem instanceof Problem);
    assert.deepEqual([problem.status, problem.errors[0].field], [422, "history[1].rating"]);
    return true;
  });
  await assert.rejects(createClient(site).GET("/api/v1/experiments"), { status: 401 });
});

test("what is refused for a moment is sent again, and no longer than allowed", async () => {
  let asked = 0;
  const busy = (seconds) => async (request) => {
    asked += 1;
    const refused = new Response("later", { status: 503, headers: { "Retry-After": seconds } });
    return asked === 1 ? refused : fetch(request);
  };
  const patient = createClient(site, { fetch: busy("0") });
  const { data } = await patient.POST("/api/v1/recommend", { body: { history: [1], k: 2 } });
  assert.deepEqual([data.recommendations.length, asked], [2, 2]);
  asked = 0;
  await assert.rejects(createClient(site, { fetch: busy("60") }).GET("/api/v1/models"), { retryAfter: 60, detail: "later" });
  assert.equal(asked, 1);
});
