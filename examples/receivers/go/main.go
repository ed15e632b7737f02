// Command go is a whole receiver with the standard library and a JOSE library, to
// be read beside docs/receivers.md and to be copied. In a program that may depend
// on Riposte the package receiver does the most of it.
//
//	RIPOSTE_URL=https://riposte.example.com RECEIVER_URL=https://example.com/hook go run .
package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync"
	"time"
)

const maxBody = 2 << 20 // bytes; a payload has up to 1 MiB

func main() {
	log.SetFlags(0)
	r, listen, err := configure()
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", listen)
	if err != nil {
		log.Fatal(err)
	}
	log.Println("listening on", listener.Addr())
	mux := http.NewServeMux()
	mux.Handle("POST /", r)
	server := &http.Server{Handler: mux, ReadTimeout: 10 * time.Second}
	log.Fatal(server.Serve(listener))
}

// configure reads the environment:
//
//	RECEIVER_URL    this receiver's URL, as the webhook has it
//	RIPOSTE_URL     the server's public URL: its JWT is checked
//	RIPOSTE_ISSUER  its --issuer, where that isn't its host name
//	WEBHOOK_SECRET  whsec_… or whpk_…: the webhook-signature is checked, too
//	LISTEN          host:port, 127.0.0.1:9000 when it isn't set
func configure() (*receiver, string, error) {
	own, err := url.Parse(os.Getenv("RECEIVER_URL"))
	if err != nil || own.Hostname() == "" {
		return nil, "", errors.New("RECEIVER_URL must be this receiver's URL")
	}
	server, err := url.Parse(os.Getenv("RIPOSTE_URL"))
	if err != nil {
		return nil, "", errors.New("RIPOSTE_URL must be the server's public URL")
	}
	htu, _, _ := strings.Cut(os.Getenv("RECEIVER_URL"), "?")
	v := &verifier{
		issuer:   cmp.Or(os.Getenv("RIPOSTE_ISSUER"), server.Hostname()),
		audience: own.Hostname(),
		url:      htu,
		secret:   os.Getenv("WEBHOOK_SECRET"),
	}
	if server.Host != "" {
		v.keys = &keys{url: server.JoinPath("/auth/v1/jwks").String()}
	}
	if v.keys == nil && v.secret == "" {
		return nil, "", errors.New("RIPOSTE_URL or WEBHOOK_SECRET must be set: nothing could be verified")
	}
	return &receiver{verifier: v, answers: map[string]answer{}}, cmp.Or(os.Getenv("LISTEN"), "127.0.0.1:9000"), nil
}

// delivery is the body of a request.
type delivery struct {
	Version     string          `json:"version"`
	WebhookID   string          `json:"webhookId"`
	CallbackURL string          `json:"callbackUrl"`
	Event       string          `json:"event"`
	Payload     json.RawMessage `json:"payload"`
}

// answer is what a question was answered, or will be.
type answer struct {
	document string
	later    bool // by callback
}

// receiver answers. The map of answers stands for a table of your database: what
// is done belongs into the transaction that notes its answer.
type receiver struct {
	verifier *verifier

	mu      sync.Mutex
	answers map[string]answer // by Webhook-Id
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, req.Body, maxBody))
	if err != nil {
		http.Error(w, "the body is too large", http.StatusRequestEntityTooLarge)
		return
	}
	if err := r.verify(req.Context(), req.Header, body); err != nil {
		log.Println("refused:", err) // for us; the other side isn't told why
		status := http.StatusUnauthorized
		if errors.Is(err, errUnavailable) {
			status = http.StatusServiceUnavailable
		}
		http.Error(w, http.StatusText(status), status)
		return
	}
	var d delivery
	if err := json.Unmarshal(body, &d); err != nil || d.WebhookID != req.Header.Get("Webhook-Id") {
		http.Error(w, "this is no delivery", http.StatusBadRequest)
		return
	}
	a := r.actOnce(d)
	if a.later {
		w.WriteHeader(http.StatusAccepted)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, a.document)
}

func (r *receiver) verify(ctx context.Context, h http.Header, body []byte) error {
	now := time.Now()
	if r.verifier.secret != "" {
		if err := r.verifier.verifySignature(h, body, now); err != nil {
			return err
		}
	}
	if r.verifier.keys != nil {
		return r.verifier.verifyJWT(ctx, h, body, now)
	}
	return nil
}

// actOnce does what is asked the first time, and gives the same answer each time.
func (r *receiver) actOnce(d delivery) answer {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a, ok := r.answers[d.WebhookID]; ok {
		return a
	}
	a := decide(d)
	r.answers[d.WebhookID] = a
	log.Printf("acted on %s: %s", d.WebhookID, a.document)
	if a.later {
		go callBack(d, a.document)
	}
	return a
}

// decide approves small amounts at once. A person would look at the others, which
// takes longer than a request may, so they are answered by callback.
func decide(d delivery) answer {
	var asked struct{ Amount float64 }
	_ = json.Unmarshal(d.Payload, &asked)
	switch strings.TrimPrefix(d.Event, "c1.webhooks.v1.") {
	case "PayloadPolicyApprovalStep":
		if asked.Amount > 1000 {
			return answer{document: `{"version":"v1","deny":{"comment":"too much"}}`, later: true}
		}
		return answer{document: `{"version":"v1","approve":{"comment":"fine by me"}}`}
	case "PayloadProvisionStep":
		return answer{document: `{"version":"v1","complete":{}}`}
	case "PayloadWorkflowStep":
		return answer{document: `{"version":"v1","context":{"manager":"grace"}}`}
	}
	return answer{document: `{"version":"v1"}`}
}

// callBack posts the document until the server has said something final.
func callBack(d delivery, document string) {
	client := &http.Client{Timeout: 15 * time.Second}
	for pause := time.Second; ; pause = min(2*pause, time.Minute) {
		resp, err := client.Post(d.CallbackURL, "application/json", bytes.NewReader([]byte(document)))
		if err == nil {
			said, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
			resp.Body.Close()
			if resp.StatusCode < 500 && resp.StatusCode != http.StatusTooManyRequests {
				log.Println(calledBack(d.WebhookID, resp.StatusCode, said))
				return
			}
		}
		time.Sleep(pause)
	}
}

// calledBack tells of a final reply without the callback URL, which is a secret.
func calledBack(id string, status int, said []byte) string {
	if status == http.StatusOK {
		return "called back for " + id
	}
	return fmt.Sprintf("called back for %s in vain: %s", id, said)
}
