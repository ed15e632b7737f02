package check

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"reflect"
	"time"

	"github.com/riposte-dev/riposte"
)

// longAnswer is when an answer is called slow: an attempt ends after 30 s.
const longAnswer = 10 * time.Second

// maxLateCallbacks is how often a receiver may post to a URL that refuses it.
const maxLateCallbacks = 3

func pass(format string, args ...any) Verdict {
	return Verdict{Result: Pass, Came: fmt.Sprintf(format, args...)}
}

func warn(hint, format string, args ...any) Verdict {
	return Verdict{Result: Warn, Came: fmt.Sprintf(format, args...), Hint: hint}
}

func fail(hint, format string, args ...any) Verdict {
	return Verdict{Result: Fail, Came: fmt.Sprintf(format, args...), Hint: hint}
}

// judgeTime looks at the clock alone: what the answer is comes later.
func judgeTime(e Evidence) Verdict {
	if v, ok := unanswered(e); ok {
		return v
	}
	a := e.Attempts[0]
	if a.Took > longAnswer {
		return warn("an attempt ends after 30 s: answer 202 at once, and call back when you know", "%d after %s", a.Status, brief(a.Took))
	}
	return pass("%d after %s", a.Status, brief(a.Took))
}

// unanswered finds an attempt to which nothing came.
func unanswered(e Evidence) (Verdict, bool) {
	if len(e.Attempts) == 0 {
		return fail("give the check a longer --timeout", "it was not played to its end in time"), true
	}
	for _, a := range e.Attempts {
		if a.Err != nil {
			return fail(hintOf(a.Err), "no answer: %s", text(a.Err)), true
		}
	}
	return Verdict{}, false
}

func hintOf(err error) string {
	if isTimeout(err) {
		return "an attempt ends after 30 s: answer 202 at once, and call back when you know"
	}
	return "is the receiver up, and is this its URL?"
}

func isTimeout(err error) bool {
	e, ok := errors.AsType[net.Error](err)
	return ok && e.Timeout()
}

// text is an error without the URL, which the report names.
func text(err error) string {
	if isTimeout(err) {
		return "timeout"
	}
	for inner := errors.Unwrap(err); inner != nil; inner = errors.Unwrap(err) {
		err = inner
	}
	return err.Error()
}

// judgeAnswer is about a question that the server asked.
func judgeAnswer(e Evidence) Verdict {
	i := e.Instance
	switch {
	case i == nil:
		return fail("see in-time", "no answer within the time of a check")
	case i.Kind == "" && len(e.Callbacks) > 0:
		return fail("see section 4 of docs/receivers.md; the server says as much in its reply", "a callback, refused with %d: %s",
			e.Callbacks[0].Status, e.Callbacks[0].Message)
	case i.Kind == "" && i.Attempt.Status == http.StatusAccepted:
		return fail("post the document to callbackUrl; if a person answers, answer yourself or give the check a longer --timeout", "202, and no callback within the time of a check")
	case i.Kind == "" && i.Attempt.Err != nil:
		return fail("see in-time; the receiver's log says more", "no answer: %s", i.Attempt.Err)
	case i.Kind == "" && i.Attempt.Status == 0:
		return fail("see in-time", "no answer within the time of a check")
	case i.Kind == "":
		return fail(hintOfStatus(i.Attempt.Status, e.Keys), "%d", i.Attempt.Status)
	case i.Failure != "" && i.Attempt.Status == http.StatusGone:
		return fail("410 says that nobody is there any more; the question is given up", "410")
	case i.Failure != "":
		return fail("see section 4 of docs/receivers.md", "%d, %s", i.Attempt.Status, i.Failure)
	case i.Via == riposte.ViaCallback:
		return pass("%s by callback after %s", i.Kind, brief(i.Took))
	}
	return pass("%d, %s at once", i.Attempt.Status, i.Kind)
}

func hintOfStatus(status int, k Keys) string {
	switch {
	case status == http.StatusUnauthorized || status == http.StatusForbidden:
		hint := fmt.Sprintf("it refuses an honest delivery: let it trust the issuer %s with the keys at %s", k.Issuer, k.JWKSURL)
		if !k.Fetched {
			hint += ", which it never asked for"
		}
		return hint
	case status >= 300 && status < 400:
		return "redirects are not followed: give the URL itself"
	case status >= 500:
		return "the receiver's log says why; a server would deliver it again"
	}
	return "if the receiver does not take this source, name those that it takes, such as --approval-step TICKET; a server would deliver it again"
}

// judgeLarge is judgeAnswer with a hint of its own.
func judgeLarge(e Evidence) Verdict {
	v := judgeAnswer(e)
	if v.Result == Fail && e.Instance != nil && e.Instance.Kind == "" && e.Instance.Attempt.Status != http.StatusAccepted {
		v.Hint = "take bodies of 1 MiB and some: a payload may have that much, and the envelope comes on top"
	}
	return v
}

// judgeRefusal is about a delivery that must not be taken.
func judgeRefusal(hint string) func(Evidence) Verdict {
	return func(e Evidence) Verdict {
		if v, ok := unanswered(e); ok {
			return v
		}
		status := e.Attempts[0].Status
		switch {
		case len(e.Callbacks) > 0:
			return fail(hint, "%d, and a callback", status)
		case status < 300:
			return fail(hint, "%d", status)
		case status < 400 || status >= 500:
			return warn("answer 401 or 403, which say that the sender is at fault", "%d", status)
		}
		return pass("%d", status)
	}
}

// lenient makes a failure a warning where the delivery was answered.
func lenient(judge func(Evidence) Verdict) func(Evidence) Verdict {
	return func(e Evidence) Verdict {
		v := judge(e)
		if _, none := unanswered(e); v.Result == Fail && !none {
			v.Result = Warn
		}
		return v
	}
}

func judgeReplay(e Evidence) Verdict {
	const hint = "keep each jti until its exp, and refuse it the second time"
	if v, ok := unanswered(e); ok {
		return v
	}
	if len(e.Attempts) < 2 {
		return fail("give the check a longer --timeout", "the second request was not sent in time")
	}
	second := e.Attempts[1].Status
	switch {
	case second >= 500 || second >= 300 && second < 400:
		return warn("answer 401 or 403, which say that the sender is at fault", "%d", second)
	case second >= 400 && !actedAgain(e):
		return pass("%d", second)
	case actedAgain(e):
		return fail(hint, "%d, and it acted again: another answer than before", second)
	}
	return warn(hint, "%d, with the same answer", second)
}

func judgeDuplicate(e Evidence) Verdict {
	if v, ok := unanswered(e); ok {
		return v
	}
	if len(e.Attempts) < 2 {
		return fail("give the check a longer --timeout", "the second request was not sent in time")
	}
	first, second := e.Attempts[0].Status, e.Attempts[1].Status
	switch {
	case second >= 300:
		return fail("the first answer may have been lost on its way: answer again as before, or 202", "%d, then %d", first, second)
	case actedAgain(e):
		return fail("keep the answer by Webhook-Id, and give it again: a server delivers again when an answer was lost", "%d, and another answer than before", second)
	}
	return pass("%d, then %d", first, second)
}

// actedAgain reports whether a second request came to another answer than the
// first one, at once or by callback. Nothing else of what a receiver does shows
// from here.
func actedAgain(e Evidence) bool {
	var before, after [][]byte
	collect := func(list *[][]byte, a Attempt) {
		if answersAtOnce(e.Source, a) {
			*list = append(*list, a.Body)
		}
	}
	collect(&before, e.Attempts[0])
	collect(&after, e.Attempts[1])
	for _, c := range e.Callbacks {
		if c.At.Before(e.Mark) {
			before = append(before, c.Document)
		} else {
			after = append(after, c.Document)
		}
	}
	if len(before) == 0 {
		return false
	}
	for _, document := range after {
		if !sameJSON(before[0], document) {
			return true
		}
	}
	return false
}

// answersAtOnce: the body is an answer. Where the source takes any body, it
// tells nothing.
func answersAtOnce(kind riposte.SourceKind, a Attempt) bool {
	anyBody := kind == riposte.SourceTest || kind == riposte.SourcePolicyPostAction
	return a.Status >= 200 && a.Status < 300 && a.Status != http.StatusAccepted && !anyBody
}

func sameJSON(a, b []byte) bool {
	if bytes.Equal(a, b) {
		return true
	}
	var x, y any
	return unmarshal(a, &x) == nil && unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func unmarshal(b []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	return d.Decode(v)
}

func judgeOne(e Evidence) Verdict {
	if v, ok := unanswered(e); ok {
		return v
	}
	status := e.Attempts[0].Status
	switch n := len(e.Callbacks); {
	case status != http.StatusAccepted && n > 0:
		return fail("answer 202 where you call back: a document in the response is an answer, and the callback comes too late", "%d, and a callback", status)
	case n > 1 && differ(e.Callbacks):
		return fail("call back once: the first document counts, and the others are refused", "%d callbacks with different documents", n)
	case n > 1:
		return warn("stop when the callback got 200; repeat it only when no reply or a 5xx came", "%d callbacks with the same document", n)
	case n == 1:
		return pass("%d, and one callback", status)
	case status == http.StatusAccepted:
		return fail("post the document to callbackUrl", "202, and no callback")
	}
	return pass("%d at once", status)
}

func differ(calls []Callback) bool {
	for _, c := range calls[1:] {
		if !sameJSON(calls[0].Document, c.Document) {
			return true
		}
	}
	return false
}

func judgeEarly(e Evidence) Verdict {
	ended := e.Mark
	for _, a := range e.Attempts {
		ended = ended.Add(a.Took)
	}
	if len(e.Callbacks) == 0 {
		return skipped("no callback came")
	}
	if e.Attempts[0].Err == nil && e.Attempts[0].Status == http.StatusOK {
		return skipped("it answered at once, too") // which one-answer is about
	}
	call := e.Callbacks[0]
	switch early := call.At.Before(ended); {
	case early && (e.Attempts[0].Err != nil || e.Attempts[0].Status != http.StatusAccepted):
		return fail("answer the delivery whatever becomes of the callback", "a callback, and then no 202")
	case early:
		return pass("the callback %s before the 202 was there", brief(ended.Sub(call.At)))
	}
	return pass("the callback %s after the 202", brief(call.At.Sub(ended)))
}

func skipped(why string) Verdict { return Verdict{Result: Skip, Came: why} }

func judgeRetried(e Evidence) Verdict {
	if v, ok := unanswered(e); ok {
		return v
	}
	switch len(e.Callbacks) {
	case 0:
		return skipped("no callback came")
	case 1:
		return warn("post the callback again when no reply or a 5xx comes: else the answer is lost while the server restarts", "no second callback")
	}
	return pass("again after %s", brief(e.Callbacks[1].At.Sub(e.Callbacks[0].At)))
}

func judgeLate(e Evidence) Verdict {
	if v, ok := unanswered(e); ok {
		return v
	}
	switch n := len(e.Callbacks); {
	case n == 0:
		return skipped("no callback came")
	case n > maxLateCallbacks:
		return fail("a 400 is final: give up, and log what it says", "%d callbacks", n)
	default:
		return pass("%s, told %d", times(n, "callback"), e.Callbacks[0].Status)
	}
}

func times(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// brief is a duration as far as anybody cares.
func brief(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%dms", d.Milliseconds())
	}
	return fmt.Sprintf("%.1fs", d.Seconds())
}
