// Package main is a caller in Go: it carries a command out only where the decision point allows it.
package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	pdp "example.org/pdp-caller/pdpv1"
)

// Call is one tool call, and for whom it is made.
type Call struct {
	RequestID, Server, Tool string
	Arguments               []byte // a JSON object
	SubjectToken            string // the user's access token
}

// Guard asks the decision point. Every question ends within Timeout.
type Guard struct {
	client  pdp.DecisionServiceClient
	token   string
	timeout time.Duration
}

// Dial makes a Guard. The caller proves itself with token; plaintext is spoken to this machine only.
func Dial(target, token string, timeout time.Duration) (*Guard, func() error, error) {
	transport := credentials.NewTLS(nil)
	if local(target) {
		transport = insecure.NewCredentials()
	}
	connection, err := grpc.NewClient(target, grpc.WithTransportCredentials(transport))
	if err != nil {
		return nil, nil, err
	}
	return &Guard{pdp.NewDecisionServiceClient(connection), token, timeout}, connection.Close, nil
}

// Allowed returns nil exactly where the call may be carried out now. Every other outcome is an error that says why;
// a Pending says what the call waits for.
func (g *Guard) Allowed(ctx context.Context, call Call) error {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	if g.token != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+g.token)
	}
	answer, err := g.client.Decide(ctx, &pdp.DecideRequest{
		RequestId: call.RequestID,
		Method:    "tools/call",
		Target: &pdp.Target{Kind: &pdp.Target_Tool{Tool: &pdp.ToolTarget{
			Server: call.Server, Name: call.Tool, ArgumentsJson: call.Arguments,
		}}},
		Credential: &pdp.Credential{Kind: &pdp.Credential_Bearer{Bearer: call.SubjectToken}},
	})
	if err != nil {
		return fmt.Errorf("the decision point gave no answer: %w", err)
	}
	return check(answer, time.Now())
}

// Pending is an answer that waits for people: ask again when they have decided.
type Pending struct{ Answer *pdp.Pending }

func (p Pending) Error() string {
	var urls []string
	for _, requirement := range p.Answer.GetRequirements() {
		urls = append(urls, requirement.GetUrl())
	}
	return "waiting for " + strings.Join(urls, ", ")
}

// check reads an answer at now. What is not plainly an allow is none: no obligation is declared, so none may come.
func check(answer *pdp.DecideResponse, now time.Time) error {
	switch answer.GetEffect() {
	case pdp.Effect_EFFECT_PENDING:
		return Pending{answer.GetPending()}
	case pdp.Effect_EFFECT_DENY:
		return errors.New(answer.GetSafeMessage())
	case pdp.Effect_EFFECT_ALLOW:
	default:
		return errors.New("the answer has no effect that this caller knows")
	}
	switch answer.GetEnforcement() {
	case pdp.Enforcement_ENFORCEMENT_UNSPECIFIED, pdp.Enforcement_ENFORCEMENT_ENFORCED, pdp.Enforcement_ENFORCEMENT_OBSERVED:
	default:
		return errors.New("the answer has an enforcement that this caller does not know")
	}
	if answer.GetDecisionId() == "" || answer.GetRecord() == nil || answer.GetPending() != nil {
		return errors.New("the answer is incomplete or contradicts itself")
	}
	if len(answer.GetObligations()) > 0 {
		return errors.New("the answer obliges to something that this caller did not declare")
	}
	if answer.GetValidUntil() == nil || !now.Before(answer.GetValidUntil().AsTime()) {
		return errors.New("the answer came too late to be used")
	}
	return nil
}

// local tells whether target is a Unix socket or a literal loopback address.
func local(target string) bool {
	if strings.HasPrefix(target, "unix:") {
		return true
	}
	host, _, err := net.SplitHostPort(target)
	address := net.ParseIP(host)
	return err == nil && address != nil && address.IsLoopback()
}
