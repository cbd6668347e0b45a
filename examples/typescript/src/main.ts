/** `node dist/main.js --server S --tool T [--arguments JSON] -- COMMAND [ARGUMENT …]` */
import { spawnSync } from "node:child_process";
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";

import { Guard } from "./guard.js";

// Exit codes, as those of `pdp decide`: 0 allowed and carried out, 10 not allowed, 11 pending, 2 usage.
const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: "string", default: "127.0.0.1:50051" },
    server: { type: "string", default: "" },
    tool: { type: "string", default: "" },
    definition: { type: "string", default: "" },
    ca: { type: "string", default: "" },
    certificate: { type: "string", default: "" },
    key: { type: "string", default: "" },
    arguments: { type: "string", default: "{}" },
    timeout: { type: "string", default: "2000" },
  },
});
const [command, ...rest] = positionals;
if (!values.server || !values.tool || !command || !(Number(values.timeout) > 0)) {
  console.error("usage: --server S --tool T [--definition FILE] [--arguments JSON] [--timeout MILLISECONDS] -- COMMAND [ARGUMENT …]");
  process.exit(2);
}
const guard = new Guard(values.target, process.env["PDP_CALLER_TOKEN"] ?? "", Number(values.timeout), values);
const decision = await guard.decide({
  requestId: randomUUID(),
  server: values.server,
  tool: values.tool,
  definitionJson: values.definition && readFileSync(values.definition, "utf8"),
  argumentsJson: values.arguments,
  subjectToken: process.env["PDP_SUBJECT_TOKEN"] ?? "",
});
if (decision.decisionId) console.error(`decision ${decision.decisionId}`);
if (decision.effect === "pending") {
  console.error(`waiting for ${decision.urls.join(", ")}`);
  process.exit(11);
}
if (decision.effect !== "allow") {
  console.error(decision.why);
  process.exit(10);
}
const done = spawnSync(command, rest, { stdio: "inherit" });
process.exit(done.status ?? 1);
