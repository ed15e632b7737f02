package riposte_test

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/riposte-dev/riposte"
)

// sizedPayload is a caller's payload of n bytes.
func sizedPayload(n int) []byte {
	return fmt.Appendf(nil, `{"text":"%s"}`, bytes.Repeat([]byte("x"), n-len(`{"text":""}`)))
}

// BenchmarkApply takes an instance from its creation to its outcome.
func BenchmarkApply(b *testing.B) {
	i := newInstance(b, riposte.InstanceRequest{Source: sources[approvalStep]})
	answer := attempted(200, goodDocuments[approvalStep])
	b.ReportAllocs()
	for b.Loop() {
		running, err := i.Advance(riposte.Claimed{}, start)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := running.Advance(answer, start.Add(time.Second)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkNewInstance checks a request and builds the envelope.
func BenchmarkNewInstance(b *testing.B) {
	for _, size := range []int{1 << 10, 64 << 10} {
		b.Run(fmt.Sprintf("payload=%d", size), func(b *testing.B) {
			w, r := newWebhook(b), riposte.InstanceRequest{Source: sources[approvalStep], Payload: sizedPayload(size)}
			url := func(id string) string { return "https://riposte.example/api/v1/webhooks/callback/" + id }
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				if _, _, err := riposte.NewInstance(w, r, url, start); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParseAnswer reads a receiver's document.
func BenchmarkParseAnswer(b *testing.B) {
	document := []byte(goodDocuments[approvalStep])
	b.ReportAllocs()
	for b.Loop() {
		if _, err := riposte.ParseAnswer(riposte.SourceApprovalStep, document); err != nil {
			b.Fatal(err)
		}
	}
}
