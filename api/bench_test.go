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

// BenchmarkBatch changes 1,000 instances with one call.
func BenchmarkBatch(b *testing.B) {
	for _, operation := range []string{"batchCancel", "batchRecreate"} {
		b.Run(operation, func(b *testing.B) {
			h := newHouse(b, newStore(b))
			for b.Loop() {
				b.StopTimer()
				webhook := h.webhook()
				h.ask(webhook, 1000)
				fields := map[string]any{"filter": "webhookId = " + webhook, "pageSize": 1000}
				if operation == "batchRecreate" {
					fields["requestId"] = "friday"
				}
				b.StartTimer()
				if r := h.batch(operation, fields); r.Canceled+r.Recreated != 1000 {
					b.Fatalf("%+v", r)
				}
			}
			b.ReportMetric(1000*float64(b.N)/b.Elapsed().Seconds(), "instances/s")
		})
	}
}
