package console

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/types/known/timestamppb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

func TestChartIsToScale(t *testing.T) {
	buckets := make([]*ripostev1.Statistics, 60)
	for n := range buckets {
		buckets[n] = &ripostev1.Statistics{StartAt: &timestamppb.Timestamp{Seconds: int64(n) * 60}}
	}
	buckets[0].Attempts, buckets[0].AttemptsFailed = 1000, 250
	buckets[59].Attempts, buckets[59].AttemptsFailed = 1, 1
	c := attemptsChart("Attempts", buckets)
	if c.Max != "1,000" || c.Summary != "1,001 attempts, 251 of them failed" {
		t.Errorf("max %s, %s", c.Max, c.Summary)
	}
	want := []bar{
		{"bar-good", 0, 30, 14, 90, "00:00 UTC: 750 taken, 250 failed"},
		{"bar-bad", 0, 0, 14, 30, "00:00 UTC: 750 taken, 250 failed"},
		{"bar-bad", 944, 118, 14, 2, "00:59 UTC: 0 taken, 1 failed"}, // little, and yet to be seen
	}
	if len(c.Bars) != len(want) {
		t.Fatalf("%d bars, want %d: %v", len(c.Bars), len(want), c.Bars)
	}
	for n, b := range c.Bars {
		if b != want[n] {
			t.Errorf("bar %d is %+v, want %+v", n, b, want[n])
		}
	}
}

func TestChartOfNothingHasNoBars(t *testing.T) {
	for _, buckets := range [][]*ripostev1.Statistics{nil, {{}}, {{}, {}}} {
		if c := questionsChart("Questions", buckets); len(c.Bars) > 0 || c.Max != "" {
			t.Errorf("%d buckets: %+v", len(buckets), c)
		}
	}
}

func TestQuestionsStandBesideWhatBecameOfThem(t *testing.T) {
	c := questionsChart("Questions", []*ripostev1.Statistics{{Created: 4, Answered: 2, Failed: 2, StartAt: &timestamppb.Timestamp{}}})
	var classes []string
	for _, b := range c.Bars {
		classes = append(classes, b.Class)
		if b.X+b.Width > chartWidth || b.Y < 0 || b.Y+b.Height > chartHeight {
			t.Errorf("%+v is outside", b)
		}
	}
	if got := strings.Join(classes, " "); got != "bar-busy bar-good bar-bad" {
		t.Errorf("bars are %s", got)
	}
}

func TestRatesAreOfWholeMinutes(t *testing.T) {
	hour := make([]*ripostev1.Statistics, 60)
	for n := range hour {
		hour[n] = &ripostev1.Statistics{Created: 1000}
	}
	for n, created := range []int64{5, 5, 5, 5, 6, 9999} { // the last one is under way
		hour[54+n] = &ripostev1.Statistics{Created: created}
	}
	if got := rates(hour)[0]; got.Value != "5.2" {
		t.Errorf("asked %s a minute, want 5.2", got.Value)
	}
	if got := perMinute(100_000, 5); got != "20,000" {
		t.Errorf("perMinute is %s", got)
	}
	if rates(nil) != nil {
		t.Error("there are rates of nothing")
	}
}
