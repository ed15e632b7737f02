package api_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// BenchmarkCreate is an instance created over REST, in process, down to its
// commit on disk.
func BenchmarkCreate(b *testing.B) {
	handler, _ := newAPI(b)
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, newRequest(b.Context(), "POST /api/v1/webhooks", `{"displayName":"x","url":"https://a.example"}`))
	if w.Code != http.StatusOK {
		b.Fatalf("HTTP %d, %s", w.Code, w.Body)
	}
	create := "POST /api/v1/webhooks/" + ids(w.Body.Bytes(), "webhook")[0] + "/instances"
	body := `{"source":{"approvalStep":{"ticketId":"ticket-1"}},"payload":` + payload + `,"labels":{"team":"red"}}`
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, newRequest(b.Context(), create, body)); w.Code != http.StatusOK {
			b.Fatalf("HTTP %d, %s", w.Code, w.Body)
		}
	}
}

// BenchmarkGetNothing is the door alone: routing, authentication, an error.
func BenchmarkGetNothing(b *testing.B) {
	handler, _ := newAPI(b)
	b.ReportAllocs()
	for b.Loop() {
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, newRequest(b.Context(), "GET /api/v1/instances/nope", "")); w.Code != http.StatusNotFound {
			b.Fatalf("HTTP %d, %s", w.Code, w.Body)
		}
	}
}
