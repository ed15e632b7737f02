package console

import (
	"fmt"

	"google.golang.org/protobuf/types/known/timestamppb"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// A chart is drawn in units of its own: chartWidth by chartHeight.
const (
	chartWidth  = 960
	chartHeight = 120
)

// chart is bars over time.
type chart struct {
	Label   string // what it shows
	Summary string // in a sentence, also for who doesn't see it
	Max     string // what the highest bar stands for; "" where there is none
	From    *timestamppb.Timestamp
	Bars    []bar
	Legend  []legend
}

// bar is a rectangle of a chart.
type bar struct {
	Class               string
	X, Y, Width, Height int
	Title               string
}

type legend struct{ Class, Text string }

// pile is what stands one on the other in a bucket, each with its class.
type pile []part

type part struct {
	class string
	n     int64
}

func (p pile) height() (sum int64) {
	for _, each := range p {
		sum += each.n
	}
	return sum
}

// attemptsChart shows attempts, those that receivers took and the others.
func attemptsChart(label string, buckets []*ripostev1.Statistics) chart {
	c := newChart(label, buckets, func(s *ripostev1.Statistics) ([]pile, string) {
		taken, failed := s.GetAttempts()-s.GetAttemptsFailed(), s.GetAttemptsFailed()
		return []pile{{{"bar-good", taken}, {"bar-bad", failed}}}, fmt.Sprintf("%s taken, %s failed", number(taken), number(failed))
	})
	all := sum(buckets)
	c.Summary = fmt.Sprintf("%s, %s of them failed", plural(all.GetAttempts(), "attempt"), number(all.GetAttemptsFailed()))
	c.Legend = []legend{{"bar-good", "taken"}, {"bar-bad", "failed"}}
	return c
}

// questionsChart shows instances: how many were created, and beside them how many
// came to an answer or to none.
func questionsChart(label string, buckets []*ripostev1.Statistics) chart {
	c := newChart(label, buckets, func(s *ripostev1.Statistics) ([]pile, string) {
		return []pile{{{"bar-busy", s.GetCreated()}}, {{"bar-good", s.GetAnswered()}, {"bar-bad", s.GetFailed()}}},
			fmt.Sprintf("%s asked, %s answered, %s failed", number(s.GetCreated()), number(s.GetAnswered()), number(s.GetFailed()))
	})
	all := sum(buckets)
	c.Summary = fmt.Sprintf("%s asked, %s answered, %s failed", number(all.GetCreated()), number(all.GetAnswered()), number(all.GetFailed()))
	c.Legend = []legend{{"bar-busy", "asked"}, {"bar-good", "answered"}, {"bar-bad", "failed"}}
	return c
}

// newChart lays out a bucket's piles side by side, all to one scale.
func newChart(label string, buckets []*ripostev1.Statistics, of func(*ripostev1.Statistics) ([]pile, string)) chart {
	c := chart{Label: label}
	if len(buckets) == 0 {
		return c
	}
	c.From = buckets[0].GetStartAt()
	var highest int64
	for _, s := range buckets {
		piles, _ := of(s)
		for _, p := range piles {
			highest = max(highest, p.height())
		}
	}
	if highest == 0 {
		return c
	}
	c.Max = number(highest)
	room := chartWidth / len(buckets)
	for n, s := range buckets {
		piles, title := of(s)
		title = s.GetStartAt().AsTime().Format("15:04 UTC") + ": " + title
		width := max(1, (room-2)/len(piles))
		for k, p := range piles {
			c.Bars = append(c.Bars, p.bars(n*room+k*width, width, highest, title)...)
		}
	}
	return c
}

// bars piles up, from the bottom. What there is at all can be seen.
func (p pile) bars(x, width int, highest int64, title string) []bar {
	var bars []bar
	y := chartHeight
	for _, each := range p {
		if each.n == 0 {
			continue
		}
		height := max(2, int(each.n*chartHeight/highest))
		y -= height
		bars = append(bars, bar{Class: each.class, X: x, Y: y, Width: width, Height: height, Title: title})
	}
	return bars
}

// sum adds up what can be added.
func sum(buckets []*ripostev1.Statistics) *ripostev1.Statistics {
	all := &ripostev1.Statistics{}
	for _, s := range buckets {
		all.Created += s.GetCreated()
		all.Answered += s.GetAnswered()
		all.Failed += s.GetFailed()
		all.Attempts += s.GetAttempts()
		all.AttemptsFailed += s.GetAttemptsFailed()
	}
	return all
}
