package console

import (
	"maps"
	"net/http"
	"slices"
	"strings"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// deliveryData is what the page of this name shows.
type deliveryData struct {
	ID      string
	URL     string
	Headers []headerView
	Body    string
	Curl    string
}

// delivery shows a question as its receiver would get it now. It is a page of its own
// because it is signed afresh each time, and has the callback URL in it.
func (v *visit) delivery() error {
	res, err := v.api.instances.GetDelivery(v.call(), &ripostev1.InstancesServiceGetDeliveryRequest{Id: v.id()})
	if err != nil {
		return err
	}
	d := deliveryData{ID: v.id(), URL: res.GetUrl(), Body: res.GetBody(), Curl: curl(res)}
	for _, name := range slices.Sorted(maps.Keys(res.GetHeaders())) {
		d.Headers = append(d.Headers, headerView{name, res.GetHeaders()[name]})
	}
	return v.show(http.StatusOK, "delivery", page{Title: "Delivery", Nav: "/instances", Data: d})
}

// curl is a delivery as a command for a shell.
func curl(d *ripostev1.InstancesServiceGetDeliveryResponse) string {
	lines := []string{"curl -i " + shellQuoted(d.GetUrl())}
	for _, name := range slices.Sorted(maps.Keys(d.GetHeaders())) {
		lines = append(lines, "-H "+shellQuoted(name+": "+d.GetHeaders()[name]))
	}
	lines = append(lines, "--data-binary "+shellQuoted(d.GetBody()))
	return strings.Join(lines, " \\\n  ")
}

// shellQuoted is s as one word of a POSIX shell.
func shellQuoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
