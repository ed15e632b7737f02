package api_test

import (
	"math"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestBodyIsReadWholeWhateverItsLengthIsSaidToBe(t *testing.T) {
	handler, _ := newAPI(t)
	for _, length := range []int64{-1, 0, 10, 1 << 40, math.MaxInt64} {
		for _, size := range []int{1, 1 << 10, 100 << 10, 3 << 20} {
			r := newRequest(t.Context(), "POST /api/v1/webhooks", `{"unknown":"`+strings.Repeat("x", size)+`","displayName":"x","url":"https://a.example"}`)
			r.ContentLength = length
			want := http.StatusOK
			if size > 2<<20 {
				want = http.StatusBadRequest
			}
			w := httptest.NewRecorder()
			if handler.ServeHTTP(w, r); w.Code != want {
				t.Errorf("a body of about %d bytes with length %d: HTTP %d, %.200s", size, length, w.Code, w.Body)
			}
		}
	}
}

// TestTimeoutHeaderIsStillTheGateways: of the headers, this one reaches it.
func TestTimeoutHeaderIsStillTheGateways(t *testing.T) {
	handler, _ := newAPI(t)
	for timeout, want := range map[string]int{"10S": http.StatusOK, "soon": http.StatusBadRequest} {
		r := newRequest(t.Context(), "GET /api/v1/webhooks", "")
		r.Header.Set("Grpc-Timeout", timeout)
		w := httptest.NewRecorder()
		if handler.ServeHTTP(w, r); w.Code != want {
			t.Errorf("Grpc-Timeout: %s gave HTTP %d, %s", timeout, w.Code, w.Body)
		}
	}
}
