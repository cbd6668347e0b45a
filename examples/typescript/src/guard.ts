/** Asks the decision point, and reads its answers: what is not plainly an allow is none. */
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { readFileSync } from "node:fs";
import { connect, isIP } from "node:net";

import { DecideRequestSchema, DecisionService, type DecideResponse } from "./pdp/v1/decision_pb.js";
import { Effect, Enforcement } from "./pdp/v1/types_pb.js";

/** One tool call, and for whom it is made. */
export interface Call {
  requestId: string;
  server: string;
  tool: string;
  /** The tool as the server listed it to you: a JSON object of its `tools/list`. */
  definitionJson: string;
  /** A JSON object. */
  argumentsJson: string;
  /** The user's access token. */
  subjectToken: string;
}

/** PEM files. Without `ca` Node's authorities count; with `certificate` and `key` the caller shows its own. */
export interface Tls {
  ca?: string;
  certificate?: string;
  key?: string;
}

/** `allow` may be carried out until `validUntil`; `pending` waits for people at `urls`: ask again later. */
export type Decision =
  | { effect: "allow"; decisionId: string; validUntil: number }
  | { effect: "pending"; decisionId: string; urls: string[] }
  | { effect: "deny"; decisionId: string; why: string };

/** A client of the decision point. Every question ends within `timeoutMs`. */
export class Guard {
  readonly #client: Client<typeof DecisionService>;

  constructor(
    target: string,
    private readonly token: string,
    private readonly timeoutMs: number,
    tls: Tls = {},
  ) {
    this.#client = createClient(DecisionService, createGrpcTransport(transport(target, tls)));
  }

  /** Never throws: whatever goes wrong is a denial. */
  async decide(call: Call): Promise<Decision> {
    const request = create(DecideRequestSchema, {
      requestId: call.requestId,
      method: "tools/call",
      target: {
        kind: {
          case: "tool",
          value: { server: call.server, name: call.tool, argumentsJson: bytes(call.argumentsJson), presented: { case: "definitionJson", value: bytes(call.definitionJson) } },
        },
      },
      credential: { kind: { case: "bearer", value: call.subjectToken } },
    });
    const headers: HeadersInit = this.token ? { authorization: `Bearer ${this.token}` } : {};
    try {
      const answer = await this.#client.decide(request, { timeoutMs: this.timeoutMs, headers });
      return read(answer, Date.now());
    } catch (error) {
      return deny(`the decision point gave no answer: ${error instanceof Error ? error.message : "unknown"}`);
    }
  }
}

/** Reads an answer at `now` (Unix milliseconds). No obligation is declared, so none may come. */
export function read(answer: DecideResponse, now: number): Decision {
  if (answer.effect === Effect.PENDING)
    return { effect: "pending", decisionId: answer.decisionId, urls: answer.pending?.requirements.map((requirement) => requirement.url) ?? [] };
  // codes are for people and logs; a model is told `answer.safeMessage` instead
  if (answer.effect === Effect.DENY)
    return deny(`denied: ${answer.reasons.map((reason) => reason.code).join(", ")}`, answer.decisionId);
  if (answer.effect !== Effect.ALLOW) return deny("the answer has no effect that this caller knows");
  if (![Enforcement.UNSPECIFIED, Enforcement.ENFORCED, Enforcement.OBSERVED].includes(answer.enforcement))
    return deny("the answer has an enforcement that this caller does not know");
  if (!answer.decisionId || !answer.record || answer.pending)
    return deny("the answer is incomplete or contradicts itself");
  if (answer.obligations.length > 0)
    return deny("the answer obliges to something that this caller did not declare");
  const validUntil = answer.validUntil ? timestampMs(answer.validUntil) : 0;
  if (validUntil <= now) return deny("the answer came too late to be used");
  return { effect: "allow", decisionId: answer.decisionId, validUntil };
}

function deny(why: string, decisionId = ""): Decision {
  return { effect: "deny", decisionId, why };
}

function bytes(text: string): Uint8Array<ArrayBuffer> {
  return new TextEncoder().encode(text);
}

/** Plaintext is spoken to this machine only, where no file is named. */
function transport(target: string, { ca, certificate, key }: Tls): { baseUrl: string; nodeOptions: object } {
  if (target.startsWith("unix:")) {
    const path = target.replace(/^unix:(\/\/)?/, "");
    return { baseUrl: "http://localhost", nodeOptions: { createConnection: () => connect(path) } };
  }
  const files = { ca, cert: certificate, key };
  const named = Object.entries(files).filter(([, file]) => file);
  return {
    baseUrl: `${named.length > 0 || !local(target) ? "https" : "http"}://${target}`,
    nodeOptions: Object.fromEntries(named.map(([name, file]) => [name, readFileSync(file as string)])),
  };
}

/** Whether `target` (HOST:PORT) is a literal loopback address. */
function local(target: string): boolean {
  const host = target.slice(0, target.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  return host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
