package main

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/durationpb"

	webhooksv1 "github.com/riposte-dev/riposte/gen/c1/api/webhooks/v1"
	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// TestStoryRunsAgainstDev joins the two as a person does: by the line that dev prints.
func TestStoryRunsAgainstDev(t *testing.T) {
	t.Parallel()
	dev := start(t, nil, "riposte", "dev", "--listen", "127.0.0.1:0")
	line := dev.line(func(line string) bool { return strings.HasPrefix(strings.TrimSpace(line), "export RIPOSTE_SERVER=") })
	env := strings.Fields(line)[1:]

	story := start(t, env, "accessrequest").end()
	for _, want := range []string{
		"APPROVED, by callback", "DENIED", "REASSIGNED to heidi", "POLICY_REPLACED", "COMPLETED", `told dave "mainframe: not provisioned, no seat is left"`,
		"step 1  attempt       2: HTTP 500", "step 1  bad response  ", "step 1  fatal error   BAD_RESPONSE",
		"All 7 came out as they should",
	} {
		if !strings.Contains(story, want) {
			t.Errorf("the story does not say %q", want)
		}
	}
	if t.Failed() {
		t.Log(story)
	}
}

// TestIsOfUseWithoutItsStory runs the tutorial's commands.
func TestIsOfUseWithoutItsStory(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	if got := h.application("", "request", "--who", "ada", "--wants", "db-admin").end(); strings.TrimSpace(got) != "R-1" {
		t.Errorf("the request is called %q", got)
	}
	if got := h.application("", "audit", "R-1").end(); !strings.Contains(got, "open, at approval by grace") {
		t.Errorf("the audit says\n%s", got)
	}
	run := h.application("", "run")
	run.line(func(line string) bool { return strings.HasSuffix(line, "R-1   closed: granted") })
	h.application("", "request", "--who", "mallory", "--wants", "root").end() // beside it
	run.line(func(line string) bool { return strings.HasSuffix(line, "R-2   closed: denied") })
	all, one := h.application("", "audit").end(), h.application("", "audit", "R-1").end()
	if !strings.Contains(all, "mallory") || !strings.Contains(all, "ada") || strings.Contains(one, "mallory") || !strings.Contains(one, "ada wants db-admin: granted") {
		t.Errorf("the audits say\n%s\nand\n%s", all, one)
	}
	if err := h.application("", "audit", "R-3").fail(); !strings.Contains(err, "no such request") {
		t.Errorf("the audit of a request that there isn't says\n%s", err)
	}
	second := h.application("", "run").fail()
	if !strings.Contains(second, "does another accessrequest run on this --data?") {
		t.Errorf("a second one says\n%s", second)
	}
}

func TestSaysWhatToRunWhereNoServerAnswers(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	got := start(t, []string{"RIPOSTE_SERVER=http://" + l.Addr().String()}, "accessrequest").fail()
	for _, want := range []string{"no server answers at http://" + l.Addr().String(), "go run ./cmd/riposte dev", "export RIPOSTE_SERVER="} {
		if !strings.Contains(got, want) {
			t.Errorf("it does not say %q:\n%s", want, got)
		}
	}
}

func TestRefusesTheStoreOfAnotherServer(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(scenes[0])
	h.run("").end()
	h.server.kill()
	h.dir = t.TempDir()
	h.startServer()
	if got := h.run("").fail(); !strings.Contains(got, "choose another --data") {
		t.Errorf("it says\n%s", got)
	}
}

// TestReceiversRefuseWhatTheServerDidNotSign: anybody can reach them.
func TestReceiversRefuseWhatTheServerDidNotSign(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(scenes[0])
	app := h.application("", "run")
	app.line(func(line string) bool { return strings.HasSuffix(line, "closed: granted") })
	address, err := h.store.setting(patient(t), "address")
	if err != nil {
		t.Fatal(err)
	}
	for _, system := range []string{"approver", "provisioner", "notifier"} {
		r, err := http.NewRequestWithContext(patient(t), http.MethodPost, "http://"+address+"/"+system, strings.NewReader(`{"ticket":"R-1","who":"eve","wants":"root"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "bearer eyJhbGciOiJub25lIn0.e30.")
		r.Close = true
		res, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusUnauthorized {
			t.Errorf("the %s answers %s", system, res.Status)
		}
	}
	h.wantAllAsItShouldBe(1)
}

// TestPassesOverWhatItDidNotAsk: others use the server, and an operator its webhooks.
func TestPassesOverWhatItDidNotAsk(t *testing.T) {
	t.Parallel()
	h := newHouse(t)
	h.add(scenes[1])
	app := h.application("", "run")
	app.line(func(line string) bool { return strings.HasSuffix(line, "R-1   closed: denied") })
	res, err := h.Webhooks.List(patient(t), &webhooksv1.WebhooksServiceListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var tests []string
	for _, w := range res.GetList() {
		res, err := h.Webhooks.Test(patient(t), &webhooksv1.WebhooksServiceTestRequest{Id: w.GetId()})
		if err != nil {
			t.Fatal(err)
		}
		tests = append(tests, res.GetWebhook().GetId())
	}
	again := h.instances()["1/1"][0].GetWebhookInstance().GetId()
	recreated, err := h.Instances.Recreate(patient(t), &ripostev1.InstancesServiceRecreateRequest{Id: again})
	if err != nil {
		t.Fatal(err)
	}
	ctx := patient(t) // for all of them: none needs long
	for _, id := range append(tests, recreated.GetInstance().GetWebhookInstance().GetId()) {
		res, err := h.Instances.Wait(ctx, &ripostev1.InstancesServiceWaitRequest{Id: id, Timeout: durationpb.New(patience)})
		if err != nil || res.GetInstance().GetWebhookInstance().GetState() != webhooksv1.WebhookState_WEBHOOK_STATE_SUCCESS {
			t.Errorf("%v, %v", res.GetInstance(), err)
		}
	}
	h.add(scenes[0])
	app.line(func(line string) bool { return strings.HasSuffix(line, "R-2   closed: granted") })
}

var goBlock = regexp.MustCompile("(?s)```go\n(.*?)```")

// TestReadmeShowsTheCode: each piece between two ellipses is in a file, as it is.
func TestReadmeShowsTheCode(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var code strings.Builder
	for _, name := range files {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		code.Write(b)
	}
	blocks := goBlock.FindAllStringSubmatch(string(readme), -1)
	if len(blocks) < 4 {
		t.Errorf("the tutorial shows %d pieces of code", len(blocks))
	}
	for _, block := range blocks {
		for piece := range strings.SplitSeq(block[1], "…\n") {
			if !strings.Contains(code.String(), strings.TrimRight(piece, "\t")) {
				t.Errorf("this is in the tutorial, and not in the code:\n%s", piece)
			}
		}
	}
}
