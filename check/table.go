package check

import (
	"net/http"
	"slices"
	"time"

	"github.com/riposte-dev/riposte"
	"github.com/riposte-dev/riposte/outbound"
)

// sourceOrder is the order in which sources are asked. The first that gets an
// answer is the one to play with: a test proves least, because a receiver may
// answer it anyhow.
var sourceOrder = []riposte.SourceKind{
	riposte.SourceApprovalStep, riposte.SourceProvisionStep, riposte.SourceWorkflowStep, riposte.SourcePolicyPostAction, riposte.SourceTest,
}

// sourceNames are the ends of the names of the checks that ask a source.
var sourceNames = map[riposte.SourceKind]string{
	riposte.SourceTest:             "test",
	riposte.SourcePolicyPostAction: "policy-post-action",
	riposte.SourceApprovalStep:     "approval-step",
	riposte.SourceProvisionStep:    "provision-step",
	riposte.SourceWorkflowStep:     "workflow-step",
}

// All returns the checks in the order in which they are played.
func All() []Check {
	all := []Check{{
		Name: "in-time", Section: "2", Done: "an honest delivery", Expected: "any answer within 30 s",
		play: playOnce(forgery{}, firstSource), judge: judgeTime,
	}}
	for _, kind := range sourceOrder {
		all = append(all, Check{
			Name: "answers-" + sourceNames[kind], Section: "3, 4", Done: "asked by a server", Expected: expectedAnswers[kind],
			source: kind, needs: needTime, play: playQuestion(nil), judge: judgeAnswer,
		})
	}
	all = append(all, refusals()...)
	return append(all, repeats()...)
}

var expectedAnswers = map[riposte.SourceKind]string{
	riposte.SourceTest:             "a 2xx",
	riposte.SourcePolicyPostAction: "a 2xx",
	riposte.SourceApprovalStep:     "a decision, at once or by callback",
	riposte.SourceProvisionStep:    "complete or errored, at once or by callback",
	riposte.SourceWorkflowStep:     "context, at once or by callback",
}

// refusals are the checks whose delivery no receiver may take.
func refusals() []Check {
	rows := []struct {
		name, done, hint string
		forgery          forgery
	}{
		{"no-signature", "no Authorization header", "refuse what has no bearer token",
			forgery{header: func(h http.Header) { h.Del("Authorization") }}},
		{"unsigned-token", `a JWT with alg "none"`, "take the algorithm EdDSA alone, whatever the token's header says",
			forgery{token: unsignedToken}},
		{"bad-signature", "your key's kid, another key's signature", "verify the JWT's signature before anything else",
			forgery{token: badSignature}},
		{"wrong-key", "a JWT signed by a key of nobody's", "take keys from the key set alone, by kid",
			forgery{token: foreignToken}},
		{"wrong-issuer", "a JWT of another issuer", "compare iss with the issuer's host name, if other servers may ever have the same keys",
			forgery{claims: func(c *outbound.Claims) { c.Issuer = "issuer.invalid" }}},
		{"expired", "a JWT that expired an hour ago", "compare exp with the clock; a minute of leeway is enough",
			forgery{claims: func(c *outbound.Claims) { shift(c, -time.Hour) }}},
		{"wrong-audience", "aud is another host", "compare aud with your own host name",
			forgery{claims: func(c *outbound.Claims) { c.Audience = "receiver.invalid" }}},
		{"wrong-url", "htu is another URL on your host", "compare htu with the URL under which you are called, without its query",
			forgery{claims: func(c *outbound.Claims) { c.URL += "/riposte-check" }}},
		{"changed-body", "the body changed after signing, and its digest with it", "hash the body as it came and compare with the JWT's htb_s256, not only with Content-Digest",
			forgery{body: changed}},
	}
	var checks []Check
	for _, r := range rows {
		judge := judgeRefusal(r.hint)
		if r.name == "wrong-issuer" {
			judge = lenient(judge) // whoever has the key can be no other issuer, unless it is shared
		}
		checks = append(checks, Check{
			Name: r.name, Section: "2", Done: r.done, Expected: "401 or 403, and nothing done",
			needs: needAnswer, play: playOnce(r.forgery, mainSource), judge: judge,
		})
	}
	return checks
}

// repeats are the checks of what happens beside the first answer.
func repeats() []Check {
	return []Check{
		{Name: "replay", Section: "2", Done: "the same request twice, to the byte", Expected: "4xx for the second one",
			needs: needAnswer, play: playTwice(false), judge: judgeReplay},
		{Name: "duplicate", Section: "2, 3", Done: "the same Webhook-Id twice, signed anew", Expected: "the same answer, done once",
			needs: needAnswer, play: playTwice(true), judge: judgeDuplicate},
		{Name: "large-body", Section: "2", Done: "a payload of 1 MiB", Expected: "an answer as to a small one",
			needs: needAnswer, play: playQuestion(enlarge), judge: judgeLarge},
		{Name: "one-answer", Section: "5", Done: "an honest delivery", Expected: "one answer: at once, or one callback",
			needs: needAnswer, play: playOnce(forgery{}, lateSource), judge: judgeOne},
		{Name: "early-callback", Section: "5", Done: "the callback beside the end of the 202", Expected: "either may come first; the 202 still comes",
			needs: needCallback, play: playOnce(forgery{}, lateSource), judge: judgeEarly},
		{Name: "callback-retried", Section: "5", Done: "503 for the first callback", Expected: "the callback again, soon",
			needs: needCallback, play: playBusy, judge: judgeRetried},
		{Name: "late-callback", Section: "5", Done: "400 for the callback: there is an answer already", Expected: "at most 3 callbacks, then silence",
			needs: needCallback, play: playUsed, judge: judgeLate},
		{Name: "still-answers", Section: "3, 4", Done: "another question after all of this", Expected: "an answer as before",
			needs: needAnswer, play: playQuestion(nil), judge: judgeAnswer},
	}
}

// Names returns the names of the checks.
func Names() []string {
	var names []string
	for _, c := range All() {
		names = append(names, c.Name)
	}
	return names
}

// choose returns the checks to play, and whether each is to be reported: that
// the receiver answers in time is looked at in any case, and so are questions
// where others build on their answers.
func choose(sources []riposte.SourceKind, only, skip []string) (checks []Check, shown func(Check) bool) {
	shown = func(c Check) bool {
		return (len(only) == 0 || slices.Contains(only, c.Name)) && !slices.Contains(skip, c.Name)
	}
	all := slices.DeleteFunc(All(), func(c Check) bool { return c.source != "" && !slices.Contains(sources, c.source) })
	needed := needNothing
	for _, c := range all {
		if shown(c) {
			needed = max(needed, c.needs)
		}
	}
	for _, c := range all {
		if shown(c) || c.needs == needNothing || c.source != "" && needed > c.needs {
			checks = append(checks, c)
		}
	}
	return checks, shown
}
