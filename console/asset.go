package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"net/http"
	"path"
	"strings"
	"time"
)

const staticPath = "/static/"

//go:embed static
var staticFiles embed.FS

// asset is a file as it is served.
type asset struct {
	body []byte
	tag  string // of what is in it
}

// assets are the files below static/, by their names.
var assets = readAssets()

func readAssets() map[string]asset {
	files, err := staticFiles.ReadDir("static")
	if err != nil {
		panic(err)
	}
	all := map[string]asset{}
	for _, f := range files {
		b, err := staticFiles.ReadFile(path.Join("static", f.Name()))
		if err != nil {
			panic(err)
		}
		sum := sha256.Sum256(b)
		all[f.Name()] = asset{b, base64.RawURLEncoding.EncodeToString(sum[:9])}
	}
	return all
}

// assetURL has the content's hash in it, so that a browser may keep the file for as
// long as it likes and never has an older one than the page.
func assetURL(name string) string { return staticPath + name + "?v=" + assets[name].tag }

var static = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	name := strings.TrimPrefix(r.URL.Path, staticPath)
	a, ok := assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == a.tag {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	w.Header().Set("ETag", `"`+a.tag+`"`)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.body))
})
