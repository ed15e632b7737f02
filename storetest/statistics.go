package storetest

import (
	"fmt"
	"time"

	"github.com/riposte-dev/riposte"
)

var statistics = []behaviour{
	{"statistics load as they were saved", func(h *house) {
		w := h.webhook()
		row := h.counted(w, riposte.StatisticsMinute, 0)
		row.Times[0], row.Times[len(row.Times)-1] = 3, 4
		row.Last = &riposte.LastAttempt{EndedAt: h.now(), InstanceID: "i",
			Error: &riposte.AttemptError{Phase: riposte.PhaseConnect, Reason: "REFUSED", Message: "nobody\x00 listens: ü"}}
		h.saveStatistics(row)
		h.wantStatistics(riposte.StatisticsFilter{Span: row.Span}, row)
		h.restart()
		h.wantStatistics(riposte.StatisticsFilter{Span: row.Span}, row)
	}},
	{"statistics take the place of those of the same webhook, span, start and process", func(h *house) {
		w := h.webhook()
		row := h.counted(w, riposte.StatisticsMinute, 0)
		other, quarter, all := row, row, row
		other.Process = "other"
		quarter.Span = riposte.StatisticsQuarter
		all.WebhookID = ""
		h.saveStatistics(row, other, quarter, all)
		row.Created += 10
		row.Failed = 0
		h.saveStatistics(row)
		h.wantStatistics(riposte.StatisticsFilter{Span: row.Span}, other, row)
		h.wantStatistics(riposte.StatisticsFilter{Span: quarter.Span}, quarter)
		h.wantStatistics(riposte.StatisticsFilter{Span: row.Span, WebhookIDs: []string{""}}, all)
	}},
	{"statistics are found by webhook, span and start, in the order of the starts", func(h *house) {
		a, b := h.webhook(), h.webhook()
		var rows []riposte.StatisticsRow
		for _, ago := range []int{3, 2, 1, 0} {
			for _, w := range []riposte.Webhook{{}, a, b} {
				rows = append(rows, h.counted(w, riposte.StatisticsMinute, ago), h.counted(w, riposte.StatisticsQuarter, ago))
			}
		}
		h.saveStatistics(rows...)
		of := func(f riposte.StatisticsFilter) (found []riposte.StatisticsRow) {
			for _, r := range rows {
				asked := f.WebhookIDs == nil && r.WebhookID != ""
				for _, id := range f.WebhookIDs {
					asked = asked || id == r.WebhookID
				}
				if asked && r.Span == f.Span && !r.Start.Before(f.From) {
					found = append(found, r)
				}
			}
			return found
		}
		from := rows[len(rows)/2].Start
		for _, ids := range [][]string{nil, {}, {""}, {a.ID}, {b.ID, "", a.ID, a.ID}, {"unknown", "\x00", b.ID}} {
			for _, f := range []riposte.StatisticsFilter{
				{WebhookIDs: ids, Span: riposte.StatisticsMinute},
				{WebhookIDs: ids, Span: riposte.StatisticsQuarter},
				{WebhookIDs: ids, Span: riposte.StatisticsMinute, From: from},
				{WebhookIDs: ids, Span: riposte.StatisticsMinute, From: from.Add(time.Nanosecond)},
			} {
				h.wantStatistics(f, of(f)...)
			}
		}
	}},
	{"old statistics are forgotten, but not the last attempt", func(h *house) {
		w := h.webhook()
		last := riposte.LastAttempt{EndedAt: h.now(), InstanceID: "i", StatusCode: 200}
		minute, quarter := h.counted(w, riposte.StatisticsMinute, 0), h.counted(w, riposte.StatisticsQuarter, 0)
		minute.Last, quarter.Last = &last, &last
		all := minute
		all.WebhookID = ""
		h.saveStatistics(minute, quarter, all)
		for _, each := range []struct {
			row  riposte.StatisticsRow
			keep time.Duration
		}{{minute, riposte.KeepStatisticsMinutes}, {quarter, riposte.KeepStatisticsQuarters}} {
			h.clock.Advance(each.row.Start.Add(each.keep).Sub(h.now()))
			h.saveStatistics()
			h.wantStatistics(riposte.StatisticsFilter{Span: each.row.Span}, each.row)
			h.clock.Advance(time.Microsecond)
			h.saveStatistics()
			h.wantStatistics(riposte.StatisticsFilter{Span: each.row.Span})
			h.wantStatistics(riposte.StatisticsFilter{Span: each.row.Span, WebhookIDs: []string{"", w.ID}})
		}
		// Also where later rows know of none.
		h.saveStatistics(h.counted(w, riposte.StatisticsMinute, 0))
		h.wantLastAttempts(map[string]riposte.LastAttempt{w.ID: last})
		h.restart()
		h.wantLastAttempts(map[string]riposte.LastAttempt{w.ID: last})
	}},
	{"any number of old statistics is forgotten, save by save", func(h *house) {
		const many = 1500
		var rows []riposte.StatisticsRow
		for k := range many {
			r := h.counted(riposte.Webhook{}, riposte.StatisticsMinute, 0)
			r.Process = fmt.Sprint(k)
			rows = append(rows, r)
		}
		h.saveStatistics(rows...)
		h.clock.Advance(riposte.KeepStatisticsMinutes + time.Minute)
		for range many {
			h.saveStatistics()
			left, err := h.store.LoadStatistics(h.Context(), riposte.StatisticsFilter{WebhookIDs: []string{""}, Span: riposte.StatisticsMinute})
			h.must(err)
			if len(left) == 0 {
				return
			}
		}
		h.Errorf("there are still some")
	}},
	{"the last attempt is the one that ended last, in whatever order they were saved", func(h *house) {
		a, b, never := h.webhook(), h.webhook(), h.webhook()
		now := h.now()
		at := func(w riposte.Webhook, process string, ended time.Time) riposte.StatisticsRow {
			r := h.counted(w, riposte.StatisticsMinute, 0)
			r.Process, r.Last = process, &riposte.LastAttempt{EndedAt: ended, InstanceID: process, StatusCode: 200}
			return r
		}
		h.saveStatistics(at(a, "late", now), at(a, "early", now.Add(-time.Second)), at(b, "early", now.Add(-time.Second)), h.counted(never, riposte.StatisticsMinute, 0))
		h.saveStatistics(at(b, "late", now.Add(time.Second)), at(a, "earliest", now.Add(-time.Hour)))
		h.wantLastAttempts(map[string]riposte.LastAttempt{
			a.ID: {EndedAt: now, InstanceID: "late", StatusCode: 200},
			b.ID: {EndedAt: now.Add(time.Second), InstanceID: "late", StatusCode: 200},
		}, never.ID, "unknown", "\x00")
	}},
	{"a last attempt of a time to come gives way to any", func(h *house) {
		w, other := h.webhook(), h.webhook()
		now := h.now()
		at := func(w riposte.Webhook, ended time.Time) riposte.StatisticsRow {
			r := h.counted(w, riposte.StatisticsMinute, 0)
			r.Last = &riposte.LastAttempt{EndedAt: ended, InstanceID: "i", StatusCode: 200}
			return r
		}
		h.saveStatistics(at(w, now.Add(time.Microsecond)), at(other, now))
		h.saveStatistics(at(w, now.Add(-time.Hour)), at(other, now.Add(-time.Hour)))
		h.wantLastAttempts(map[string]riposte.LastAttempt{w.ID: *at(w, now.Add(-time.Hour)).Last, other.ID: *at(other, now).Last})
		// When the time has come, it is one like any other.
		h.saveStatistics(at(w, now.Add(time.Hour)))
		h.clock.Advance(time.Hour)
		h.saveStatistics(at(w, now))
		h.wantLastAttempts(map[string]riposte.LastAttempt{w.ID: *at(w, now.Add(time.Hour)).Last})
	}},
	{"what was counted of a webhook goes with it", func(h *house) {
		w, other := h.webhook(), h.webhook()
		count := func(w riposte.Webhook) riposte.StatisticsRow {
			r := h.counted(w, riposte.StatisticsQuarter, 0)
			r.Last = &riposte.LastAttempt{EndedAt: h.now(), InstanceID: "i", StatusCode: 200}
			return r
		}
		mine, others := count(w), count(other)
		h.saveStatistics(mine, others)
		h.deleteWebhook(w)
		h.wantStatistics(riposte.StatisticsFilter{WebhookIDs: []string{w.ID}, Span: mine.Span}, mine)
		h.wantPurged(h.now().Add(time.Second), 10, 0)
		h.wantStatistics(riposte.StatisticsFilter{Span: mine.Span}, others)
		h.saveStatistics(mine) // by one who doesn't know yet
		h.wantLastAttempts(map[string]riposte.LastAttempt{other.ID: *others.Last}, w.ID)
	}},
}

// counted is a row of a webhook that began so many spans ago, with counts of its own.
func (h *house) counted(w riposte.Webhook, span time.Duration, ago int) riposte.StatisticsRow {
	h.names++
	n := h.names
	return riposte.StatisticsRow{WebhookID: w.ID, Span: span, Start: riposte.Time(h.now()).Truncate(span).Add(-time.Duration(ago) * span), Process: "process",
		Statistics: riposte.Statistics{Created: n, Answered: n + 1, Failed: n + 2, Attempts: n + 3, AttemptsFailed: n + 4}}
}

func (h *house) saveStatistics(rows ...riposte.StatisticsRow) {
	h.Helper()
	h.must(h.store.SaveStatistics(h.Context(), rows))
}

// wantStatistics wants rows in the order of their starts, whatever the order of those
// that have the same.
func (h *house) wantStatistics(f riposte.StatisticsFilter, want ...riposte.StatisticsRow) {
	h.Helper()
	got, err := h.store.LoadStatistics(h.Context(), f)
	h.must(err)
	for n := 1; n < len(got); n++ {
		if got[n].Start.Before(got[n-1].Start) {
			h.Fatalf("%s comes after %s", got[n].Start, got[n-1].Start)
		}
	}
	byKey := func(rows []riposte.StatisticsRow) map[string]riposte.StatisticsRow {
		all := map[string]riposte.StatisticsRow{}
		for _, r := range rows {
			all[fmt.Sprint(r.WebhookID, r.Span, r.Start, r.Process)] = r
		}
		return all
	}
	h.wantEqual(len(got), len(want))
	h.wantEqual(byKey(got), byKey(want))
}

// wantLastAttempts asks for these and for others that should have none.
func (h *house) wantLastAttempts(want map[string]riposte.LastAttempt, others ...string) {
	h.Helper()
	ids := others
	for id := range want {
		ids = append(ids, id, id)
	}
	got, err := h.store.LastAttempts(h.Context(), ids)
	h.must(err)
	h.wantEqual(got, want)
}
