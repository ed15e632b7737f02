package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// The load of TestOverload is a process of its own, with less right to the CPU than the
// server and than those who look whether that still answers.

// overloadRole names the environment variable that makes this binary the load.
const overloadRole = "RIPOSTE_TEST_OVERLOAD"

// overloadPlan is what the load is told on its standard input, once it has said on its
// standard output where its receiver is.
type overloadPlan struct {
	Address, Webhook string
	HalfOpen         int           // connections that never come to the end of a head
	Connections      int           // of HTTP/2, for small questions
	Streams          int           // at once on each
	Batches          int           // of the largest bodies, all at once
	Lasts            time.Duration // of the small ones
	HalfOpenLasts    time.Duration // at most, until those that never come to an end are being closed
}

// overloadResult is what came of it.
type overloadResult struct {
	Accepted []string // ids of instances whose creation was answered with 200
	Answers  map[string]int
	HalfOpen int // connections at their most
	Reopened int // of them, those that the server closed
}

// overload is the process.
type overload struct {
	overloadPlan
	callbacks *http.Client

	mu       sync.Mutex
	halfOpen int // now
	overloadResult
}

func runOverload() int {
	o := &overload{callbacks: &http.Client{Transport: &http.Transport{MaxConnsPerHost: 64, MaxIdleConnsPerHost: 64}}}
	o.Answers = map[string]int{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	go func() { _ = http.Serve(l, o) }()
	out := json.NewEncoder(os.Stdout)
	in := bufio.NewReader(os.Stdin)
	_ = out.Encode("http://" + l.Addr().String())
	line, err := in.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o.overloadPlan)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	o.run()
	_ = out.Encode(&o.overloadResult)
	_, _ = io.Copy(io.Discard, in) // what was accepted is answered until nobody asks any more
	return 0
}

func (o *overload) run() {
	over := make(chan struct{})
	var halfOpen, small sync.WaitGroup
	const tricklers = 20
	for k := range tricklers {
		halfOpen.Go(func() {
			<-time.After(time.Duration(k) * trickleEvery / tricklers) // no two of them at the same time
			o.trickle(o.overloadPlan.HalfOpen/tricklers, over)
		})
	}
	began := time.Now()
	until := began.Add(o.Lasts)
	for range o.Connections {
		small.Go(func() { o.note(o.askSmall(until)) })
	}
	small.Wait()
	body := o.batch()
	var big sync.WaitGroup
	for range o.Batches {
		big.Go(func() { o.note(o.askBatch(body)) })
	}
	big.Wait()
	for o.reopened() == 0 && time.Since(began) < o.HalfOpenLasts {
		<-time.After(trickleEvery)
	}
	close(over)
	halfOpen.Wait()
}

func (o *overload) reopened() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.Reopened
}

// note counts an answer, or why there was none.
func (o *overload) note(err error) {
	if err == nil {
		return
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	var reset *net.OpError
	if errors.As(err, &reset) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		o.Answers["broken off"]++
		return
	}
	o.Answers[err.Error()]++
}

func (o *overload) answered(status int, ids ...string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.Answers[fmt.Sprint(status)]++
	o.Accepted = append(o.Accepted, ids...)
}

// trickleEvery is how often a half-open connection sends a few bytes.
const trickleEvery = 500 * time.Millisecond

// trickle keeps n connections open that send a few bytes of a head now and then.
func (o *overload) trickle(n int, over <-chan struct{}) {
	conns := make([]net.Conn, n)
	tick := time.NewTicker(trickleEvery)
	defer tick.Stop()
	for {
		for i, c := range conns {
			if c == nil {
				if c, _ = net.DialTimeout("tcp", o.Address, 5*time.Second); c == nil {
					continue
				}
				_, _ = io.WriteString(c, "POST /api/v1/webhooks HTTP/1.1\r\nHost: a\r\n")
				conns[i] = c
				o.mu.Lock()
				o.halfOpen++
				o.overloadResult.HalfOpen = max(o.overloadResult.HalfOpen, o.halfOpen)
				o.mu.Unlock()
			}
			if _, err := io.WriteString(c, "X-A: b\r\n"); err != nil {
				c.Close()
				conns[i] = nil
				o.mu.Lock()
				o.halfOpen--
				o.Reopened++
				o.mu.Unlock()
			}
		}
		select {
		case <-tick.C:
		case <-over:
			for _, c := range conns {
				if c != nil {
					c.Close()
				}
			}
			return
		}
	}
}

// askSmall has as many questions on one connection as that takes, again and again.
func (o *overload) askSmall(until time.Time) error {
	c, err := net.Dial("tcp", o.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	w := bufio.NewWriterSize(c, 64<<10)
	_, _ = w.WriteString(http2.ClientPreface)
	f := http2.NewFramer(w, bufio.NewReaderSize(c, 64<<10))
	f.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	_ = f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 20})
	_ = f.WriteWindowUpdate(0, 1<<30)
	body := []byte(`{"source":{"approvalStep":{"ticketId":"T"}},"payload":{"size":"small"}}`)
	for id := uint32(1); id == 1 || time.Now().Before(until); { // once at least, however late that is
		open := map[uint32]*bytes.Buffer{}
		for range o.Streams {
			_ = f.WriteHeaders(http2.HeadersFrameParam{StreamID: id, EndHeaders: true, BlockFragment: o.head("/api/v1/webhooks/"+o.Webhook+"/instances", len(body))})
			_ = f.WriteData(id, true, body)
			open[id] = nil
			id += 2
		}
		if err := w.Flush(); err != nil {
			return err
		}
		if err := o.readAnswers(f, w, open); err != nil {
			return err
		}
	}
	return nil
}

func (o *overload) head(path string, length int) []byte {
	var b bytes.Buffer
	e := hpack.NewEncoder(&b)
	e.SetMaxDynamicTableSize(0)
	for _, h := range [][2]string{{":method", "POST"}, {":scheme", "http"}, {":authority", o.Address}, {":path", path},
		{"authorization", "Bearer " + crashAPIKey}, {"content-type", "application/json"}, {"content-length", fmt.Sprint(length)}} {
		_ = e.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]})
	}
	return b.Bytes()
}

// readAnswers returns when there is one to each of the open streams.
func (o *overload) readAnswers(f *http2.Framer, w *bufio.Writer, open map[uint32]*bytes.Buffer) error {
	for len(open) > 0 {
		frame, err := f.ReadFrame()
		if err != nil {
			return err
		}
		switch frame := frame.(type) {
		case *http2.SettingsFrame:
			if !frame.IsAck() {
				_ = f.WriteSettingsAck()
				_ = w.Flush()
			}
		case *http2.PingFrame:
			_ = f.WritePing(true, frame.Data)
			_ = w.Flush()
		case *http2.MetaHeadersFrame:
			if status := frame.PseudoValue("status"); status == "200" {
				open[frame.StreamID] = &bytes.Buffer{}
			} else {
				o.note(errors.New(status))
			}
			if frame.StreamEnded() {
				delete(open, frame.StreamID)
			}
		case *http2.DataFrame:
			b := open[frame.StreamID]
			if b != nil { // otherwise it is what a refusal says
				b.Write(frame.Data())
			}
			if frame.StreamEnded() && b != nil {
				o.answered(http.StatusOK, idsIn(b.Bytes())...)
			}
			if frame.StreamEnded() {
				delete(open, frame.StreamID)
			}
		case *http2.RSTStreamFrame:
			if _, waits := open[frame.StreamID]; waits {
				o.note(errors.New("reset: " + frame.ErrCode.String()))
				delete(open, frame.StreamID)
			}
		case *http2.GoAwayFrame:
			return errors.New("go away: " + frame.ErrCode.String())
		}
	}
	return nil
}

// idsIn are those of the instances in an answer.
func idsIn(answer []byte) []string {
	type instance struct{ WebhookInstance struct{ ID string } }
	var a struct {
		Instance  *instance
		Instances []instance
	}
	if json.Unmarshal(answer, &a) != nil {
		return []string{"an answer that can't be read"}
	}
	if a.Instance != nil {
		a.Instances = append(a.Instances, *a.Instance)
	}
	var ids []string
	for _, i := range a.Instances {
		ids = append(ids, i.WebhookInstance.ID)
	}
	return ids
}

// batch is one of the largest bodies.
func (o *overload) batch() []byte {
	one := `{"webhookId":"` + o.Webhook + `","source":{"approvalStep":{"ticketId":"T"}},"payload":{"size":"` + strings.Repeat("x", 1<<20-1000) + `"}}`
	return []byte(`{"requests":[` + strings.Repeat(one+",", 30) + one + `]}`)
}

// askBatch reads while it writes, as clients must who want to know why they are refused.
func (o *overload) askBatch(body []byte) error {
	c, err := net.Dial("tcp", o.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	go func() {
		_, _ = fmt.Fprintf(c, "POST /api/v1/instances:batchCreate HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", crashAPIKey, len(body))
		_, _ = c.Write(body)
	}()
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		return errors.Join(err, fmt.Errorf("batch: %d", res.StatusCode))
	}
	o.answered(http.StatusOK, idsIn(answer)...)
	return nil
}

// ServeHTTP is the receiver: it answers large questions at once and small ones by a
// callback, which it repeats until it is taken.
func (o *overload) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q struct{ CallbackURL string }
	body, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(body, &q) != nil {
		return
	}
	if len(body) > 1<<19 {
		_, _ = io.WriteString(w, crashApproval)
		return
	}
	w.WriteHeader(http.StatusAccepted)
	go o.callBack(q.CallbackURL)
}

func (o *overload) callBack(url string) {
	for {
		res, err := o.callbacks.Post(url, "application/json", strings.NewReader(crashApproval))
		if err == nil {
			res.Body.Close()
		}
		if err == nil && res.StatusCode < 500 {
			return
		}
		o.note(errors.New("a callback is refused"))
		<-time.After(100 * time.Millisecond)
	}
}
