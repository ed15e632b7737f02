package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/riposte-dev/riposte/client"
)

// takeByPush is sent the outcomes, and accepts each once its effect is stored.
func takeByPush(_ context.Context, e effects) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	working(listener.Addr().String())
	return http.Serve(listener, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		step()
		b, err := io.ReadAll(r.Body)
		if err != nil {
			return // whoever sent it has died
		}
		made, err := readPush(r.Header, b)
		if err != nil {
			fmt.Fprintf(os.Stderr, "what is pushed makes no sense: %v: %s\n", err, b)
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if err := e.store(context.WithoutCancel(r.Context()), made, ""); err != nil {
			fmt.Fprintf(os.Stderr, "storing what is pushed: %v\n", err)
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.WriteHeader(http.StatusNoContent)
	}))
}

// readPush reads the effect of a push.
func readPush(header http.Header, body []byte) (effect, error) {
	var p struct {
		Payload struct {
			Instance struct {
				WebhookInstance struct{ ID string }
				Outcome         struct {
					Kind, DocumentJSON string
					Failure            struct{ Reason string }
					Sequence           int64 `json:",string"`
				}
			}
		}
	}
	if err := json.Unmarshal(body, &p); err != nil {
		return effect{}, err
	}
	i, o := p.Payload.Instance, p.Payload.Instance.Outcome
	made := effect{outcome: header.Get("Webhook-Id"), instance: i.WebhookInstance.ID, sequence: o.Sequence,
		said: said(client.Kind(strings.TrimPrefix(o.Kind, "OUTCOME_KIND_")), o.DocumentJSON, client.FailureReason(strings.TrimPrefix(o.Failure.Reason, "FAILURE_REASON_")))}
	if made.outcome == "" || made.instance == "" {
		return effect{}, fmt.Errorf("the outcome is %q and the instance %q", made.outcome, made.instance)
	}
	return made, nil
}

// wrongPushed says what is wrong with effects that were pushed: beside what is
// wrong with them anyway, that an outcome's id is not one instance's alone.
func wrongPushed(made, want []effect) (wrong []string) {
	wrong = wrongAtLeastOnce(made, want)
	instances := map[string]string{}
	for _, e := range made {
		if other, known := instances[e.outcome]; known && other != e.instance {
			wrong = append(wrong, fmt.Sprintf("instances %s and %s have the same outcome, %s", other, e.instance, e.outcome))
		}
		instances[e.outcome] = e.instance
	}
	return wrong
}

// TestTakerOfPushesHasWhatItAccepted shows that the taker can be relied on: it is
// killed while it is sent outcomes.
func TestTakerOfPushesHasWhatItAccepted(t *testing.T) {
	t.Parallel()
	const outcomes, senders, kills = 200, 4, 5
	b := newBalancer(t)
	k := newTaker(t, "receiver", "")
	b.add(k.listen)
	transport := &http.Transport{MaxIdleConnsPerHost: senders}
	defer transport.CloseIdleConnections()
	next := make(chan int, outcomes/kills)
	var sending sync.WaitGroup
	for range senders {
		sending.Go(func() {
			for n := range next {
				pushUntilAccepted(t, &http.Client{Transport: transport}, b.URL, n)
			}
		})
	}
	var want []effect
	for n := range outcomes {
		want = append(want, effect{instance: fmt.Sprintf("i%d", n), sequence: int64(n), said: said(client.Approved, "{}", "")})
		next <- n
		if n%(outcomes/kills) == 0 {
			k.crash(n / (outcomes / kills))
			b.remove(k.listen)
			k.start()
			b.add(k.listen)
		}
	}
	close(next)
	sending.Wait()
	if wrong := wrongPushed(k.effects(), want); len(wrong) > 0 {
		t.Errorf("%d things are wrong:\n%s", len(wrong), strings.Join(wrong, "\n"))
	}
}

func pushUntilAccepted(t *testing.T, h *http.Client, url string, n int) {
	for ctx := patient(t); ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		body := fmt.Sprintf(`{"payload":{"instance":{"webhookInstance":{"id":"i%d"},"outcome":{"kind":"OUTCOME_KIND_APPROVED","documentJson":"{}","sequence":"%d"}}}}`, n, n)
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			t.Error(err)
			return
		}
		r.Header.Set("Webhook-Id", fmt.Sprintf("o%d", n))
		res, err := h.Do(r)
		if err != nil {
			continue
		}
		res.Body.Close()
		if res.StatusCode == http.StatusNoContent {
			return
		}
	}
	t.Errorf("outcome %d was not accepted", n)
}
