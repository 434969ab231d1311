
"use strict";
(() => {
  const KEPT_LINES = 500, KEPT_EVENTS = 100, KEPT_RATES = 60, RETRY = 3000;
  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";

  const make = (tag, attributes = {}, ...children) => {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    node.append(...children.map(String));
    return node;
  };
  const set = (id, text) => { const node = $(id); if (node.textContent !== text) node.textContent = text; };
  const state = (id, value) => { if ($(id).dataset.state !== value) $(id).dataset.state = value; };

  const bytes = (n) => {
    const units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let i = 0;
    while (n >= 1024 && i < units.length - 1) { n /= 1024; i += 1; }
    return `${i && n < 100 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
  };
  const span = (seconds) => {
    const s = Math.max(0, Math.round(seconds));
    if (s < 60) return `${s} s`;
    if (s < 3600) return `${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 86400) return `${Math.floor(s / 3600)} h ${Math.floor(s % 3600 / 60)} min`;
    return `${Math.floor(s / 86400)} d ${Math.floor(s % 86400 / 3600)} h`;
  };
  const clock = (stamp) => {
    const date = new Date(stamp);
    return Number.isNaN(date.getTime()) ? String(stamp) : date.toLocaleTimeString([], { hour12: false });
  };
  const words = (name) => name.replaceAll("_", " ");
  const show = (value) => value === null || value === "" || value === undefined ? "–"
    : typeof value === "object" ? JSON.stringify(value) : String(value);

  /* rows: [term, text, state]; nodes are kept, so that a selection survives an update */
  const facts = (id, rows) => {
    const list = $(id);
    while (list.children.length > rows.length * 2) list.lastElementChild.remove();
    rows.forEach(([term, text, mark], i) => {
      if (!list.children[2 * i]) list.append(make("dt"), make("dd"));
      const dt = list.children[2 * i], dd = list.children[2 * i + 1];
      if (dt.textContent !== term) dt.textContent = term;
      if (dd.textContent !== show(text)) dd.textContent = show(text);
      dd.dataset.state = mark || "";
    });
  };

  const table = (id, rows) => {
    const node = $(id);
    $(`${id}-none`).hidden = rows.length > 0;
    node.parentElement.hidden = rows.length === 0;
    if (!rows.length) return;
    const columns = [...new Set(rows.flatMap(Object.keys))];
    const head = make("thead"), body = make("tbody"), line = make("tr");
    for (const name of columns) line.append(make("th", { scope: "col" }, words(name)));
    head.append(line);
    for (const row of rows) {
      const tr = make("tr");
      for (const name of columns) tr.append(make("td", {}, show(row[name])));
      body.append(tr);
    }
    node.replaceChildren(head, body);
  };

  const chips = (id, entries) => $(id).replaceChildren(...entries.map(([text, mark, title]) => {
    const li = make("li", { "data-state": mark }, text);
    if (title) li.title = title;
    return li;
  }));

  const bar = (x, width, height, kind) => {
    const rect = document.createElementNS(SVG, "rect");
    for (const [name, value] of Object.entries({ x, width, y: 48 - height, height, class: kind }))
      rect.setAttribute(name, value);
    return rect;
  };

  const drawBeats = (history) => {
    const slots = 60, width = 240 / slots;
    const longest = Math.max(20, ...history.map((beat) => beat.duration_ms || 0));
    $("beats").replaceChildren(...history.slice(-slots).map((beat, i, all) => {
      const kind = beat.ok === true ? "ok" : beat.ok === false ? "failed" : "pending";
      const height = beat.ok === false ? 46 : 8 + 36 * (beat.duration_ms || 0) / longest;
      return bar((slots - all.length + i) * width, width * 0.7, height, kind);
    }));
    const failed = history.filter((beat) => beat.ok === false).length;
    $("beats").setAttribute("aria-label", `the last ${history.length} heartbeats, ${failed} failed`);
  };

  const rates = [];
  let before = null;
  const drawTraffic = (tunnel, stamp) => {
    const now = Date.parse(stamp) / 1000;
    if (before && now > before.now) {
      const seconds = now - before.now;
      rates.push([(tunnel.bytes_received - before.received) / seconds, (tunnel.bytes_sent - before.sent) / seconds]
        .map((rate) => Math.max(0, rate)));
      if (rates.length > KEPT_RATES) rates.shift();
    }
    if (!before || now > before.now) before = { now, received: tunnel.bytes_received, sent: tunnel.bytes_sent };
    const last = rates[rates.length - 1] || [0, 0];
    set("rate-in", `${bytes(last[0])}/s`);
    set("rate-out", `${bytes(last[1])}/s`);
    const top = Math.max(1024, ...rates.flat());
    $("traffic").replaceChildren(...["in", "out"].map((kind, column) => {
      const path = document.createElementNS(SVG, "path");
      const points = rates.map((rate, i) =>
        `${((KEPT_RATES - rates.length + i) * 240 / (KEPT_RATES - 1)).toFixed(1)},${(46 - 44 * rate[column] / top).toFixed(1)}`);
      path.setAttribute("d", points.length > 1 ? `M${points.join("L")}` : "");
      path.setAttribute("class", kind);
      return path;
    }));
    $("traffic").setAttribute("aria-label", `throughput: ${bytes(last[0])}/s received, ${bytes(last[1])}/s sent`);
  };

  const GOOD = { connected: "good", connecting: "warn", reconnecting: "bad", disconnected: "bad" };
  const HEALTH = { healthy: "good", degraded: "warn", unhealthy: "bad" };

  const drawConnection = (s) => {
    const c = s.connection, r = c.registration;
    set("state", c.state);
    state("state-dot", GOOD[c.state] || "unknown");
    set("state-for", `for ${span(c.seconds)}`);
    $("why").hidden = c.state === "connected" || !c.last_error;
    const next = c.retry_in === null ? "Trying now." : `Next attempt in ${Math.max(0, c.retry_in).toFixed(0)} s.`;
    set("why", `${c.last_error.replace(/\.$/, "")}. ${next}`);
    facts("connection-facts", [
      ["Control plane", s.about.control_plane],
      ["Registration", c.registered ? `${r.name || s.about.cluster_name} (${r.cluster_id})` : "not registered yet",
        c.registered ? "" : "warn"],
      ["Attempts", c.failed_attempts ? `${c.attempts}, ${c.failed_attempts} failed` : c.attempts],
      ["Reconnects", c.reconnects],
    ]);
    chips("checks", Object.entries(s.checks).map(([name, check]) =>
      [`${words(name)}: ${check.ok === null ? "unknown" : check.ok ? "ok" : "failed"}`,
        check.ok === null ? "unknown" : check.ok ? "good" : "bad", check.reason]));
    $("failures").hidden = !c.errors.length;
    $("failure-lines").replaceChildren(...c.errors.slice().reverse().map((failure) => {
      const li = make("li");
      li.append(make("time", {}, clock(failure.timestamp)), failure.error);
      return li;
    }));
  };

  const drawTunnel = (s) => {
    const t = s.tunnel;
    drawTraffic(t, s.timestamp);
    facts("tunnel-facts", [
      ["Streams", `${t.streams} open, ${s.requests.accepted} in all${t.stalled ? `, ${t.stalled} stalled: their clients do not read` : ""}`,
        t.stalled ? "warn" : ""],
      ["Bytes", `${bytes(t.bytes_received)} received, ${bytes(t.bytes_sent)} sent, ${bytes(t.waiting_bytes)} waiting`],
      ["Lanes", t.enabled ? `${t.lanes} up, ${t.lanes_lost} lost so far` : "the tunnel is switched off", t.lanes ? "" : "warn"],
    ]);
    $("lanes").parentElement.hidden = !t.each.length;
    $("lanes").tBodies[0].replaceChildren(...t.each.map((lane) => {
      const tr = make("tr");
      tr.append(make("td", { title: lane.peer }, lane.index), make("td", {}, span(lane.seconds)));
      for (const value of [lane.streams, bytes(lane.bytes_received), bytes(lane.bytes_sent),
        lane.rtt === null ? "–" : lane.rtt < 0.001 ? "< 1 ms" : `${(lane.rtt * 1000).toFixed(0)} ms`]) tr.append(make("td", { class: "number" }, value));
      return tr;
    }));
  };

  const draw = (s) => {
    document.title = `${s.about.cluster_name || "agent"}: ${s.connection.state} – PipeOps agent`;
    set("cluster", s.about.cluster_name || "PipeOps agent");
    set("identity", [s.about.name, s.about.agent_id, s.about.instance, `version ${s.about.version}`].filter(Boolean).join(" · "));
    set("health", s.health);
    state("health", HEALTH[s.health] || "unknown");
    set("seen", clock(s.timestamp));
    drawConnection(s);
    const h = s.heartbeats;
    drawBeats(h.history);
    const answered = h.history.filter((beat) => beat.duration_ms !== null).pop();
    facts("heartbeat-facts", [
      ["Last", h.age === null ? "none yet" : `${span(h.age)} ago, every ${h.interval} s`],
      ["Answered in", answered ? `${answered.duration_ms.toFixed(0)} ms` : null],
      ["Sent", h.sent],
      ["Failed", h.failed, h.failed ? "warn" : ""],
      ["Left out", h.skipped, h.skipped ? "warn" : ""],
    ]);
    drawTunnel(s);
    const q = s.requests, failed = Object.entries(q.failures).filter(([, count]) => count);
    facts("api-facts", [
      ["Address", s.about.kubernetes],
      ["State", q.api_reachable === null ? "not asked yet" : q.api_reachable ? "answers" : "not reachable",
        q.api_reachable === null ? "" : q.api_reachable ? "good" : "bad"],
      ...(q.api_error ? [["Why", q.api_error, "bad"]] : []),
      ["Last answer in", q.api_latency_ms === null ? null : `${q.api_latency_ms} ms`],
      ["Answers", q.answers],
      ["Connections", `${q.upstream}, ${q.upstream_idle} idle`],
      ["Failed requests", failed.length ? failed.map(([hop, count]) => `${count} at ${hop}`).join(", ") : 0, failed.length ? "warn" : ""],
    ]);
    const known = Object.entries(s.cluster).map(([name, value]) => [words(name), value]);
    facts("cluster-facts", [["name", s.about.cluster_name], ...known]);
    const p = s.process;
    facts("process-facts", [
      ["Uptime", span(p.uptime)],
      ["Memory", bytes(p.resident)],
      ["Processor", `${p.cpu_percent} % of a core`],
      ["Tasks", p.tasks],
      ["Threads", p.threads],
      ["Descriptors", p.descriptors],
    ]);
    chips("features", Object.entries(s.features).map(([name, on]) =>
      [on === true || on === false ? words(name) : `${words(name)}: ${on}`, on === true ? "good" : "off", on === false ? "off" : ""]));
    table("forwards", s.forwards);
    table("routes", s.routes);
  };

  /* events */
  const describe = {
    state_change: (e) => `${e.old} → ${e.new}${e.reason ? `: ${e.reason}` : ""}`,
    heartbeat: (e) => e.ok === false ? `failed: ${e.error}` : e.duration_ms === null ? "sent" : `answered in ${e.duration_ms} ms`,
    registration: (e) => e.ok ? `registered as ${e.name || e.cluster_id}` : `failed: ${e.error}`,
    lane: (e) => `${e.index} ${e.up ? "up" : `lost: ${e.reason}`}`,
    request_failed: (e) => `${e.status} at ${e.hop}: ${e.error}${e.others ? ` (and ${e.others} others)` : ""}`,
  };
  const level = (kind, e) => e.ok === false || kind === "request_failed" || e.up === false ? "error"
    : kind === "state_change" && e.new !== "connected" ? "warning" : "info";
  const onEvent = (message) => {
    const e = JSON.parse(message.data), kind = message.type;
    if (kind === "heartbeat" && e.ok !== false) return; /* the sparkline has them */
    const li = make("li", { "data-level": level(kind, e) });
    li.append(make("time", {}, clock(e.timestamp)), make("b", {}, words(kind)), describe[kind](e));
    $("events").prepend(li);
    while ($("events").children.length > KEPT_EVENTS) $("events").lastElementChild.remove();
  };

  /* one EventSource with a retry of its own: the browser gives up after an error status */
  const follow = (address, opened, listeners, lost) => {
    let source = null, timer = 0, ended = false;
    const open = () => {
      source = new EventSource(address());
      source.onopen = opened;
      source.onerror = again;
      source.addEventListener("end", again);
      for (const [kind, listener] of Object.entries(listeners)) source.addEventListener(kind, listener);
    };
    const again = () => {
      source.close();
      lost();
      clearTimeout(timer);
      if (!ended) timer = setTimeout(open, RETRY);
    };
    open();
    return { restart() { ended = false; clearTimeout(timer); source.close(); open(); }, stop() { ended = true; clearTimeout(timer); source.close(); } };
  };

  const eventListeners = { snapshot: (message) => draw(JSON.parse(message.data)) };
  for (const kind of Object.keys(describe)) eventListeners[kind] = onEvent;
  follow(() => "/api/realtime/events?snapshots=1",
    () => { $("offline").hidden = true; $("events").replaceChildren(); before = null; },
    eventListeners,
    () => { $("offline").hidden = false; set("health", "not reached"); state("health", "unknown"); });

  /* log */
  let paused = false, held = [];
  const matches = (li) => li.textContent.toLowerCase().includes($("log-filter").value.trim().toLowerCase());
  const note = () => {
    const all = $("log").children.length, seen = [...$("log").children].filter((li) => !li.hidden).length;
    set("log-note", `${seen === all ? `${all} lines` : `${seen} of ${all} lines`}${paused ? `, paused; ${held.length} held back` : ""}`);
  };
  const append = (record) => {
    const li = make("li", { "data-level": record.level });
    const fields = Object.entries(record.fields || {}).filter(([name]) => name !== "component")
      .map(([name, value]) => `${name}=${show(value)}`).join(" ");
    li.append(make("time", {}, clock(record.timestamp)), make("b", {}, record.level), `${record.message} `,
      make("span", { class: "fields" }, fields));
    li.hidden = !matches(li);
    const box = $("log-box"), atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 40;
    $("log").append(li);
    while ($("log").children.length > KEPT_LINES) $("log").firstElementChild.remove();
    if (atEnd) box.scrollTop = box.scrollHeight;
  };
  const onLog = (message) => {
    const record = JSON.parse(message.data);
    if (paused) { held.push(record); if (held.length > KEPT_LINES) held.shift(); } else append(record);
    note();
  };
  const log = follow(() => `/api/realtime/logs?tail=200&level=${encodeURIComponent($("log-level").value)}`,
    () => { if (!paused) { $("log").replaceChildren(); held = []; } }, { log: onLog }, () => {});
  $("log-level").addEventListener("change", () => { $("log").replaceChildren(); held = []; log.restart(); });
  $("log-filter").addEventListener("input", () => { for (const li of $("log").children) li.hidden = !matches(li); note(); });
  $("log-filters").addEventListener("submit", (event) => event.preventDefault());
  $("log-pause").addEventListener("click", () => {
    paused = !paused;
    $("log-pause").setAttribute("aria-pressed", String(paused));
    $("log-pause").textContent = paused ? "Go on" : "Pause";
    if (!paused) { held.forEach(append); held = []; }
    note();
  });
})();
