package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// TestBooks: an instance that is closed twice, or that arrives without having
// been created, is an error, and balanced books are none.
func TestBooks(t *testing.T) {
	for _, each := range []struct {
		name                     string
		created, arrived, closed int64
		err                      string
	}{
		{"balanced", 3, 3, 3, ""},
		{"one closed too many", 3, 3, 4, "closed 4 instances, 3 were created"},
		{"one arrived too many", 3, 4, 3, "3 instances were created, 4 arrived"},
	} {
		t.Run(each.name, func(t *testing.T) {
			var closed atomic.Int64
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				fmt.Fprintf(w, "other_total 7\nclosed_total{outcome=\"APPROVED\"} %d\nclosed_total{outcome=\"FAILED\"} 5\n", closed.Load())
			}))
			defer server.Close()
			n := session{
				&cluster{system: system{name: "it", closed: `closed_total{outcome="APPROVED"}`},
					nodes: []*node{{url: server.URL, client: server.Client()}}},
				new(receiver),
			}
			err := n.balanced(t.Context(), func() (int64, error) {
				n.receiver.distinct.Add(each.arrived)
				closed.Add(each.closed)
				return each.created, nil
			})
			if each.err == "" && err != nil || each.err != "" && (err == nil || !strings.Contains(err.Error(), each.err)) {
				t.Errorf("the books say %v, want %q", err, each.err)
			}
		})
	}
}

// TestReceiverTellsRepeats: an instance that arrives again is counted apart.
func TestReceiverTellsRepeats(t *testing.T) {
	r, err := newReceiver("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer r.close()
	for _, id := range []string{"one", "two", "one"} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url+answers, strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Webhook-Id", id)
		resp, err := r.client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}
	if distinct, repeated := r.distinct.Load(), r.repeated.Load(); distinct != 2 || repeated != 1 {
		t.Errorf("%d instances arrived and %d again, want 2 and 1", distinct, repeated)
	}
}
