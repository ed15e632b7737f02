package check

import (
	"encoding/json"
	"errors"
	"net"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// TestJudges has what no receiver in the other tests does, or only by chance.
func TestJudges(t *testing.T) {
	t.Parallel()
	began := time.Now()
	at := func(ms int) time.Time { return began.Add(time.Duration(ms) * time.Millisecond) }
	attempts := func(statuses ...int) (list []Attempt) {
		for _, s := range statuses {
			list = append(list, Attempt{Status: s, Took: 100 * time.Millisecond})
		}
		return list
	}
	call := func(ms int, document string) Callback {
		return Callback{At: at(ms), Document: []byte(document), Status: 200}
	}
	refusal, failed := judgeRefusal("hint"), []Attempt{{Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}}
	for _, tt := range []struct {
		name  string
		judge func(Evidence) Verdict
		e     Evidence
		want  Result
		came  string
	}{
		{"slow", judgeTime, Evidence{Attempts: []Attempt{{Status: 200, Took: 12 * time.Second}}}, Warn, "200 after 12.0s"},
		{"any status is in time", judgeTime, Evidence{Attempts: attempts(500)}, Pass, "500 after 100ms"},
		{"nobody there", judgeTime, Evidence{Attempts: failed}, Fail, "no answer: refused"},
		{"never sent", judgeTime, Evidence{}, Fail, "it was not played to its end in time"},

		{"refused", refusal, Evidence{Attempts: attempts(422)}, Pass, "422"},
		{"refused by a crash", refusal, Evidence{Attempts: attempts(500)}, Warn, "500"},
		{"sent elsewhere", refusal, Evidence{Attempts: attempts(302)}, Warn, "302"},
		{"refused, and acted", refusal, Evidence{Attempts: attempts(401), Callbacks: []Callback{call(1, "{}")}}, Fail, "401, and a callback"},
		{"hung up", refusal, Evidence{Attempts: failed}, Fail, "no answer: refused"},
		{"lenient about an answer", lenient(refusal), Evidence{Attempts: attempts(200)}, Warn, "200"},
		{"not about none", lenient(refusal), Evidence{Attempts: failed}, Fail, "no answer: refused"},

		{"replay crashes", judgeReplay, Evidence{Attempts: attempts(200, 500)}, Warn, "500"},
		{"replay refused, and acted on", judgeReplay, Evidence{Source: riposte.SourceApprovalStep, Attempts: attempts(202, 401), Mark: at(100),
			Callbacks: []Callback{call(50, `{"a":1}`), call(150, `{"a":2}`)}}, Fail, "401, and it acted again: another answer than before"},
		{"replay, once", judgeReplay, Evidence{Attempts: attempts(200)}, Fail, "the second request was not sent in time"},
		{"duplicate refused", judgeDuplicate, Evidence{Attempts: attempts(200, 409)}, Fail, "200, then 409"},
		{"duplicate, the same callback again", judgeDuplicate, Evidence{Attempts: attempts(202, 202), Mark: at(100),
			Callbacks: []Callback{call(50, `{"a":1,"b":2}`), call(150, `{"b":2, "a":1}`)}}, Pass, "202, then 202"},
		{"duplicate, another callback", judgeDuplicate, Evidence{Attempts: attempts(202, 202), Mark: at(100),
			Callbacks: []Callback{call(50, `{"a":1}`), call(150, `{"a":1.0}`)}}, Fail, "202, and another answer than before"},
		{"duplicate, answered at once after a callback", judgeDuplicate, Evidence{Source: riposte.SourceApprovalStep, Mark: at(100),
			Attempts: []Attempt{{Status: 202}, {Status: 200, Body: []byte(`{"a":1}`)}}, Callbacks: []Callback{call(50, `{"a":1}`)}}, Pass, "202, then 200"},
		{"duplicate, where any body will do", judgeDuplicate, Evidence{Source: riposte.SourceTest,
			Attempts: []Attempt{{Status: 200, Body: []byte("at 10:01")}, {Status: 200, Body: []byte("at 10:02")}}}, Pass, "200, then 200"},

		{"two answers", judgeOne, Evidence{Attempts: attempts(202), Callbacks: []Callback{call(1, `{"a":1}`), call(2, `{"a":2}`)}}, Fail, "2 callbacks with different documents"},
		{"no answer", judgeOne, Evidence{Attempts: attempts(202)}, Fail, "202, and no callback"},
		{"early", judgeEarly, Evidence{Mark: began, Attempts: attempts(202), Callbacks: []Callback{call(40, "{}")}}, Pass, "the callback 60ms before the 202 was there"},
		{"early, and then none", judgeEarly, Evidence{Mark: began, Attempts: attempts(500), Callbacks: []Callback{call(40, "{}")}}, Fail, "a callback, and then no 202"},
		{"after", judgeEarly, Evidence{Mark: began, Attempts: attempts(202), Callbacks: []Callback{call(140, "{}")}}, Pass, "the callback 40ms after the 202"},
		{"no callback to look at", judgeEarly, Evidence{Attempts: attempts(200)}, Skip, "no callback came"},

		{"gone", judgeAnswer, Evidence{Instance: &Instance{Attempt: Attempt{Status: 410}, Kind: "FAILED", Failure: "the receiver answered 410 Gone"}}, Fail, "410"},
		{"sent elsewhere by an honest one", judgeAnswer, Evidence{Instance: &Instance{Attempt: Attempt{Status: 301}}}, Fail, "301"},
		{"cut off", judgeAnswer, Evidence{Instance: &Instance{Attempt: Attempt{Err: errors.New("timeout")}}}, Fail, "no answer: timeout"},
	} {
		v := tt.judge(tt.e)
		if v.Result != tt.want || v.Came != tt.came {
			t.Errorf("%s: %s, %q", tt.name, v.Result, v.Came)
		}
		if (v.Result == Fail || v.Result == Warn) == (v.Hint == "") {
			t.Errorf("%s: %s has the hint %q", tt.name, v.Result, v.Hint)
		}
	}
}

func TestEnlargedPayloadsAreAsLargeAsAnyMayBe(t *testing.T) {
	t.Parallel()
	for _, payload := range []string{"{}", " { } ", `{"a":1}`, "{\n  \"a\": 1\n}\n"} {
		b := enlarge([]byte(payload))
		if len(b) != riposte.MaxPayloadSize || !json.Valid(b) || riposte.CheckPayload(riposte.SourceApprovalStep, b) != nil {
			t.Errorf("%q has %d bytes, %t", payload, len(b), json.Valid(b))
		}
		if again := enlarge(b); string(again) != string(b) {
			t.Errorf("%q grew to %d bytes", payload, len(again))
		}
	}
}
