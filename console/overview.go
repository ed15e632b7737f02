package console

import "net/http"

func (v *visit) overview() error {
	return v.show(http.StatusOK, "overview", page{Title: "Overview", Nav: "/"})
}
