package console

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"connectrpc.com/connect"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
)

// visit is one request of somebody who has signed in.
type visit struct {
	*Console
	session session
	w       http.ResponseWriter
	r       *http.Request
}

// call returns a context for one call of the API.
func (v *visit) call() context.Context { return as(v.r.Context(), v.session.Key, v.r.RemoteAddr) }

// id is the one in the path.
func (v *visit) id() string { return v.r.PathValue("id") }

// errNoPage is for a path that has no page.
var errNoPage = connect.NewError(connect.CodeNotFound, errors.New("there is no such page"))

// signedIn is the door of every screen: whoever has not signed in is sent to do so and
// comes back, what can't be read is refused, and an error that the screen returns
// becomes a page.
func (c *Console) signedIn(screen func(*visit) error) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, ok := c.sessions.of(r)
		if !ok {
			c.interrupted(w, r)
			return
		}
		v := &visit{Console: c, session: s, w: w, r: r}
		if status, text := unreadable(r); text != "" {
			_ = v.show(status, "error", page{Title: "That can't be read", Data: text})
			return
		}
		if err := screen(v); err != nil {
			v.fail(err)
		}
	})
}

// unreadable says what of a request's address or form can't be read, if anything: a
// screen would take it for empty, or tell the API what no message of it can hold. It
// parses the form.
func unreadable(r *http.Request) (status int, text string) {
	if err := r.ParseForm(); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return http.StatusRequestEntityTooLarge, fmt.Sprintf("A form may have at most %d MiB, as it is sent. Nothing was changed.", maxForm>>20)
		}
		return http.StatusBadRequest, "The address or the form is not encoded as browsers do it. Nothing was changed."
	}
	valid := utf8.ValidString(r.URL.Path)
	for name, values := range r.Form {
		valid = valid && utf8.ValidString(name) && !slices.ContainsFunc(values, func(s string) bool { return !utf8.ValidString(s) })
	}
	if !valid {
		return http.StatusBadRequest, "The address or the form has bytes in it that are not UTF-8. Nothing was changed."
	}
	return http.StatusOK, ""
}

// redirect answers a form that has been dealt with: the browser may then go back and
// reload as it likes. done is the word for what was done, which notices has.
func (v *visit) redirect(path, done string) error {
	if done != "" {
		http.SetCookie(v.w, v.noticeOn(path, done))
	}
	http.Redirect(v.w, v.r, path, http.StatusSeeOther)
	return nil
}

// fail shows an error of the API as a page.
func (v *visit) fail(err error) {
	status, title := http.StatusInternalServerError, "Something went wrong"
	text := problem(err)
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated:
		http.SetCookie(v.w, v.cookie(v.r, ""))
		v.interrupted(v.w, v.r)
		return
	case connect.CodeCanceled:
		return // nobody is there to read it
	case connect.CodeNotFound:
		status, title = http.StatusNotFound, "Not found"
	case connect.CodePermissionDenied:
		status, title = http.StatusForbidden, "Not with this key"
	case connect.CodeInvalidArgument, connect.CodeFailedPrecondition, connect.CodeAlreadyExists, connect.CodeAborted:
		status, title = http.StatusUnprocessableEntity, "That can't be done"
	case connect.CodeDeadlineExceeded:
		status, title, text = http.StatusServiceUnavailable, "It took too long", "Try again in a moment."
		if v.r.Method == http.MethodPost {
			text = "It may have been done or not: look before you try again."
		}
	case connect.CodeResourceExhausted: // of what the console asks for, only a message that is too large
		status, title = http.StatusRequestEntityTooLarge, "That is too much"
		text += " Nothing was changed."
	case connect.CodeUnavailable:
		status, title = http.StatusServiceUnavailable, "The server can't take it just now"
		text += " Nothing was changed; try again in a moment."
		v.w.Header().Set("Retry-After", "1")
	default:
		v.Logger.Error("showing a page", "path", v.r.URL.Path, "error", err)
		text = "The server's log says more."
	}
	_ = v.show(status, "error", page{Title: title, Data: text})
}

// problem is an error's text for people: a sentence.
func problem(err error) string {
	var call *connect.Error
	text := err.Error()
	if errors.As(err, &call) {
		text = call.Message()
	}
	return sentence(text)
}

func sentence(s string) string {
	if s == "" {
		return s
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.ContainsAny(s[len(s)-1:], ".!?") {
		s += "."
	}
	return s
}

// violations are what an error says about the fields of a request, by their names:
// of a path such as webhook.url the last part.
func violations(err error) map[string]string {
	var call *connect.Error
	if !errors.As(err, &call) || call.Code() != connect.CodeInvalidArgument {
		return nil
	}
	found := map[string]string{}
	for _, d := range call.Details() {
		value, err := d.Value()
		if err != nil {
			continue
		}
		if bad, ok := value.(*errdetails.BadRequest); ok {
			for _, f := range bad.GetFieldViolations() {
				name := f.GetField()
				found[name[strings.LastIndex(name, ".")+1:]] = f.GetDescription()
			}
		}
	}
	return found
}
