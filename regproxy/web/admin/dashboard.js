const EVERY = 5000, DOWNLOADS_EVERY = 2000, IMAGES_EVERY = 30000;  // ms between two looks
const OUTCOMES = [  // what is drawn together, and how
  ["hit", "--hit", ["hit", "frozen", "cooldown"], ""],
  ["shared a download", "--shared", ["collapsed"], ""],
  ["revalidated", "--asked", ["revalidated"], ""],
  ["miss", "--miss", ["miss", "passed"], ""],
  ["stale or deleted upstream", "--stale", ["stale", "gone"], "6 3"],
  ["failed or aborted", "--failed", ["failed", "aborted"], "2 2"],
  ["refused, unknown, client closed", "--other", null, "1 4"],
];
const CHEAP = ["hit", "frozen", "cooldown", "collapsed"];
const charts = {
  requests: new Chart("Requests by outcome", "requests/s", {stacked: true}),
  bytes: new Chart("Traffic", "B/s"),
  ratio: new Chart("Hit ratio", "%", {top: 100}),
  store: new Chart("Content in the store", "B"),
};
at("charts").append(...Object.values(charts).map(each => each.card));
const written = new Map();  // what was written of each download when we last looked

function total(series, names) {
  const lists = Object.keys(series).filter(names).map(name => series[name]);
  return each => lists.reduce((sum, values) => sum + values[each], 0);
}

function rates(times, of) {  // per second, between each two samples; a counter that shrank began anew
  return times.slice(1).map((time, each) => Math.max(0, of(each + 1) - of(each)) / Math.max(.001, time - times[each]));
}

function outcomes(series, names) {
  const named = new Set(OUTCOMES.flatMap(([, , each]) => each || []));
  return total(series, name => name.startsWith("requests.") && (names ? names.includes(name.slice(9)) : !named.has(name.slice(9))));
}

function draw({at: times, series}) {
  const between = times.slice(1), only = name => total(series, each => each === name);
  charts.requests.draw(between, OUTCOMES.map(([label, color, names, mark]) => ({label, color, mark, values: rates(times, outcomes(series, names))})));
  charts.bytes.draw(between, [
    {label: "sent to clients", color: "--hit", values: rates(times, only("sent_bytes"))},
    {label: "received from upstream", color: "--miss", mark: "6 3", values: rates(times, only("upstream_bytes"))},
    ...isFleet() ? [{label: "received from members", color: "--shared", mark: "2 3", values: rates(times, only("fleet_bytes"))}] : [],
  ]);
  const all = rates(times, total(series, name => name.startsWith("requests."))), cheap = rates(times, outcomes(series, CHEAP));
  charts.ratio.draw(between, [{label: "hits and shared downloads", color: "--hit", values: all.map((rate, each) => rate ? 100 * cheap[each] / rate : null)}]);
  charts.store.draw(times, [{label: "in the store", color: "--shared", values: series.store_bytes || times.map(() => 0)}]);
}

function tiles({started_at, at: times, series}) {
  const last = times.length - 1, now = names => last < 0 ? 0 : total(series, names)(last), only = name => now(each => each === name);
  const all = now(name => name.startsWith("requests.")), cheap = last < 0 ? 0 : outcomes(series, CHEAP)(last);
  const sent = only("sent_bytes"), fetched = only("upstream_bytes");
  const shown = [
    ["Hit ratio", all ? `${(100 * cheap / all).toFixed(1)} %` : "no requests", `of ${scaled(all, "")} requests`],
    ["Bytes saved", scaled(Math.max(0, sent - fetched), "B"), "sent but not fetched"],
    ["Sent to clients", scaled(sent, "B"), `${scaled(fetched, "B")} received from upstream${isFleet() ? `, ${scaled(only("fleet_bytes"), "B")} from members` : ""}`],
    ["Downloads now", scaled(only("downloads"), ""), `${scaled(only("followers"), "")} responses fed from downloads, ${scaled(only("resumes"), "")} downloads resumed`],
    ["In the store", scaled(only("store_bytes"), "B"), `${scaled(only("store_blobs"), "")} blobs and manifests, ${scaled(only("evicted_bytes"), "B")} evicted`],
    ["Workers", scaled(only("workers"), ""), `event loop lag ${seconds(only("loop_lag"))}`],
  ];
  at("tiles").replaceChildren(...shown.map(([label, value, more]) => {
    const tile = element("div", "", "card");
    tile.append(element("dt", label), element("dd", value, "value"), element("dd", more, "soft"));
    return tile;
  }));
  at("since").textContent = `Started ${new Date(started_at * 1000).toLocaleString()}, ${lasting(Date.now() / 1000 - started_at)} ago. Numbers above are since then.`;
}

function hosts(upstreams) {
  const asked = Object.entries(upstreams).flatMap(([upstream, {hosts}]) => hosts.filter(each => each.first_byte !== null || each.last_error).map(host => [upstream, host]));
  fill(at("hosts"), ["upstream", "host", "rank", "first byte", "rate of a connection", "failures", "corrupt responses", "last error"], asked.map(([upstream, host]) => [
    upstream, host.url.replace(/^https?:\/\//, ""), host.backoff_seconds > 0 ? element("span", `backoff ${seconds(host.backoff_seconds)}`, "bad") : String(host.rank),
    seconds(host.first_byte), host.bytes_per_second === null ? "" : `${scaled(host.bytes_per_second, "B")}/s`, scaled(host.failures, ""),
    element("span", String(host.corrupt_responses), host.corrupt_responses ? "bad" : ""), host.last_error]), "No host was asked yet.");
}

function downloads(list) {
  const now = performance.now() / 1000, before = new Map(written);
  written.clear();
  fill(at("downloads"), ["blob", "repository", "progress", "rate", "followers", "time"], list.map(each => {
    const key = `${each.repository} ${each.digest}`, [then, had] = before.get(key) || [now - each.seconds, 0];
    written.set(key, [now, each.written]);
    const rate = Math.max(0, each.written - had) / Math.max(.1, now - then);
    const part = each.size ? ` (${Math.floor(100 * each.written / each.size)} %)` : "";
    return [element("code", `${each.digest.slice(0, 19)}…`), each.repository, `${scaled(each.written, "B")} of ${each.size === null ? "unknown size" : scaled(each.size, "B")}${part}`,
      `${scaled(rate, "B")}/s`, String(each.followers), seconds(each.seconds)];
  }), "None now.");
}

async function look() {
  try {
    const [history, upstreams, ready] = await Promise.all([asked(`api/v1/history?range=${at("range").value}`), asked("api/v1/upstreams"), fetch("readyz", {signal: AbortSignal.timeout(5000)})]);
    tiles(history);
    draw(history);
    hosts(upstreams);
    const state = (await ready.text()).trim();
    if (at("state").textContent !== state) at("state").textContent = state;
    at("state").className = ready.ok && !/takes nothing/.test(state) ? "soft" : "bad";
  } catch (error) {
    if (error.refused) await allowed();
    at("state").textContent = error.refused ? error.message : "regproxy does not answer";
    at("state").className = "bad";
  }
}

function regularly(work, every) {  // the next one begins after the last one ended, and none while nobody sees it
  const again = async () => {
    if (!document.hidden) await Promise.resolve(work()).catch(() => {});
    setTimeout(again, every);
  };
  again();
}

at("range").addEventListener("change", look);
asked("api/v1/version").then(({version}) => at("version").textContent = version).catch(() => {});
regularly(look, EVERY);
regularly(async () => fleet(await asked(`api/v1/fleet?limit=${MEMBERS_SHOWN}`)), EVERY);
regularly(async () => downloads((await asked("api/v1/downloads")).downloads), DOWNLOADS_EVERY);
allowed().catch(() => {}).then(() => regularly(list, IMAGES_EVERY));
