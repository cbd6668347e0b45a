/** Asks the decision point, and reads its answers: what is not plainly an allow is none. */
import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { createClient, type Client } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { isIP } from "node:net";

import { DecideRequestSchema, DecisionService, type DecideResponse } from "./pdp/v1/decision_pb.js";
import { Effect, Enforcement } from "./pdp/v1/types_pb.js";

/** One tool call, and for whom it is made. */
export interface Call {
  requestId: string;
  server: string;
  tool: string;
  /** A JSON object. */
  argumentsJson: string;
  /** The user's access token. */
  subjectToken: string;
}

/** `allow` may be carried out until `validUntil`; `pending` waits for people at `urls`: ask again later. */
export type Decision =
  | { effect: "allow"; decisionId: string; validUntil: number }
  | { effect: "pending"; urls: string[] }
  | { effect: "deny"; why: string };

/** A client of the decision point. Every question ends within `timeoutMs`. */
export class Guard {
  readonly #client: Client<typeof DecisionService>;

  constructor(
    target: string,
    private readonly token: string,
    private readonly timeoutMs: number,
  ) {
    // plaintext is spoken to this machine only
    const baseUrl = `${local(target) ? "http" : "https"}://${target}`;
    this.#client = createClient(DecisionService, createGrpcTransport({ baseUrl }));
  }

  /** Never throws: whatever goes wrong is a denial. */
  async decide(call: Call): Promise<Decision> {
    const request = create(DecideRequestSchema, {
      requestId: call.requestId,
      method: "tools/call",
      target: {
        kind: {
          case: "tool",
          value: { server: call.server, name: call.tool, argumentsJson: new TextEncoder().encode(call.argumentsJson) },
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
    return { effect: "pending", urls: answer.pending?.requirements.map((requirement) => requirement.url) ?? [] };
  if (answer.effect === Effect.DENY) return deny(answer.safeMessage);
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

function deny(why: string): Decision {
  return { effect: "deny", why };
}

/** Whether `target` (HOST:PORT) is a literal loopback address. */
function local(target: string): boolean {
  const host = target.slice(0, target.lastIndexOf(":")).replace(/^\[|\]$/g, "");
  return host === "::1" || (isIP(host) === 4 && host.startsWith("127."));
}
