package receiver

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Request is what the checks are made of: an HTTP request with its body read,
// which may as well be one that was recorded.
type Request struct {
	Method string
	Path   string // escaped as it was sent, with or without its query
	Header http.Header
	Body   []byte
	At     time.Time // when it came
}

// Read reads the request's body, up to the verifier's bound. Its error is a
// *Refusal.
func (v *Verifier) Read(r *http.Request) (Request, error) {
	req := Request{Method: r.Method, Path: r.URL.EscapedPath(), Header: r.Header, At: time.Now()}
	if r.RequestURI != "" && r.RequestURI[0] == '/' {
		req.Path = r.RequestURI // StripPrefix and the like leave it alone
	}
	var err error
	req.Body, err = io.ReadAll(io.LimitReader(r.Body, v.maxBody+1))
	switch {
	case err != nil:
		tooLarge, _ := errors.AsType[*http.MaxBytesError](err)
		if tooLarge == nil {
			return req, refuse(0, "body", "The body broke off: %v.", err)
		}
		return req, refuse(http.StatusRequestEntityTooLarge, "body", "The body has more than %d bytes.", tooLarge.Limit)
	case int64(len(req.Body)) > v.maxBody:
		return req, refuse(http.StatusRequestEntityTooLarge, "body", "The body has more than %d bytes.", v.maxBody)
	}
	return req, nil
}

func refuse(status int, name, format string, args ...any) *Refusal {
	return &Refusal{Checks: []Check{{Name: name, Detail: fmt.Sprintf(format, args...), status: status}}}
}
