package e2e

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/riposte-dev/riposte/ripostetest"
)

// response is what a server answered over REST.
type response struct {
	status int
	header http.Header
	body   []byte
}

// send makes a request without credentials.
func send(t testing.TB, method, url, body string, header http.Header) response {
	t.Helper()
	req, err := http.NewRequestWithContext(patient(t), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range header {
		req.Header[name] = values
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: reading the response: %v", method, url, err)
	}
	return response{resp.StatusCode, resp.Header, b}
}

// rest makes a request as C1's clients do.
func rest(t *testing.T, s *ripostetest.Server, method, path, body string) response {
	t.Helper()
	header := http.Header{"Authorization": {"Bearer " + s.APIKey}}
	if body != "" {
		header.Set("Content-Type", "application/json")
	}
	return send(t, method, s.BaseURL()+path, body, header)
}

// callBack posts a document to a callback URL.
func callBack(t *testing.T, url, document string) response {
	t.Helper()
	return send(t, http.MethodPost, url, document, http.Header{"Content-Type": {"application/json"}})
}

type object = map[string]any

// decode reads JSON, numbers as they are written.
func decode(t *testing.T, b []byte) object {
	t.Helper()
	var o object
	d := json.NewDecoder(bytes.NewReader(b))
	d.UseNumber()
	if err := d.Decode(&o); err != nil {
		t.Fatalf("decoding %q: %v", b, err)
	}
	return o
}

// part returns what is at a path within decoded JSON.
func part[T any](t *testing.T, v any, path ...string) T {
	t.Helper()
	at := v
	for _, name := range path {
		o, _ := at.(object)
		at = o[name]
	}
	found, ok := at.(T)
	if !ok {
		t.Fatalf("%s is %#v, want a %T, in %v", strings.Join(path, "."), at, found, v)
	}
	return found
}

// ok checks for a success as C1's clients take it, and returns its body.
func (r response) ok(t *testing.T) object {
	t.Helper()
	if r.status != http.StatusOK {
		t.Fatalf("status is %d, want 200: %s", r.status, r.body)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type is %q, want application/json", ct)
	}
	return decode(t, r.body)
}

// rpcStatus is google.rpc.Status in JSON.
type rpcStatus struct {
	Code    int
	Message string
	Details []struct {
		Type            string `json:"@type"`
		Reason, Domain  string
		Metadata        map[string]string
		FieldViolations []struct{ Field, Description string }
	}
}

// refused checks for an error in the form that all of them have, with its
// status and reason.
func (r response) refused(t *testing.T, wantStatus int, wantReason string) rpcStatus {
	t.Helper()
	var st rpcStatus
	if err := json.Unmarshal(r.body, &st); err != nil {
		t.Fatalf("status is %d, and its body is no google.rpc.Status: %v: %q", r.status, err, r.body)
	}
	if r.status != wantStatus || st.reason() != wantReason {
		t.Errorf("answered %d and reason %q, want %d and %q: %s", r.status, st.reason(), wantStatus, wantReason, r.body)
	}
	if ct := r.header.Get("Content-Type"); ct != "application/json" {
		t.Errorf("Content-Type is %q, want application/json", ct)
	}
	if st.Message == "" || st.Code == 0 {
		t.Errorf("the Status has code %d and message %q", st.Code, st.Message)
	}
	return st
}

const typePrefix = "type.googleapis.com/google.rpc."

func (st rpcStatus) reason() string {
	for _, d := range st.Details {
		if d.Type == typePrefix+"ErrorInfo" && d.Domain != "" {
			return d.Reason
		}
	}
	return ""
}

func (st rpcStatus) metadata(key string) string {
	for _, d := range st.Details {
		if v, ok := d.Metadata[key]; ok {
			return v
		}
	}
	return ""
}

// field returns what is said to be wrong with a field, "" when nothing is.
func (st rpcStatus) field(name string) string {
	for _, d := range st.Details {
		for _, v := range d.FieldViolations {
			if d.Type == typePrefix+"BadRequest" && v.Field == name {
				return v.Description
			}
		}
	}
	return ""
}

// wantField checks for a violation of a field.
func (st rpcStatus) wantField(t *testing.T, name string) {
	t.Helper()
	if st.field(name) == "" {
		t.Errorf("no violation of the field %q in %+v", name, st)
	}
}
