package apijson_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"github.com/riposte-dev/riposte/apijson"
)

// TestMarshalWritesEveryMessageAsProtojsonDoes goes through all of the API:
// empty, full, and with the other choices of its oneofs.
func TestMarshalWritesEveryMessageAsProtojsonDoes(t *testing.T) {
	seen := 0
	protoregistry.GlobalTypes.RangeMessages(func(mt protoreflect.MessageType) bool {
		name := mt.Descriptor().FullName()
		if mt.Descriptor().IsMapEntry() || !strings.HasPrefix(string(name), "c1.") && !strings.HasPrefix(string(name), "riposte.") {
			return true
		}
		seen++
		for variant := range 8 {
			m := mt.New()
			f := filler{skip: variant}
			if variant > 0 {
				f.fill(m, 0)
			}
			checkAgainstProtojson(t, m.Interface())
		}
		return true
	})
	if seen < 50 {
		t.Errorf("only %d messages were found", seen)
	}
}

func checkAgainstProtojson(t *testing.T, m proto.Message) {
	t.Helper()
	got, err := apijson.Marshal(m)
	if err != nil {
		t.Errorf("%s: %v", m.ProtoReflect().Descriptor().FullName(), err)
		return
	}
	full, err := protojson.MarshalOptions{EmitUnpopulated: true}.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	var want bytes.Buffer
	if err := json.Compact(&want, full); err != nil {
		t.Fatal(err)
	}
	// What the filler has put into raw fields, and nothing.
	raw := []string{`"Wzdd"`, `[7]`, `"payload":""`, `"payload":null`}
	if fd := m.ProtoReflect().Descriptor().Fields().ByName("document"); fd == nil || fd.Kind() == protoreflect.BytesKind {
		raw = append(raw, `"document":""`, `"document":null`) // it is a text where one is to be verified
	}
	text := strings.NewReplacer(raw...).Replace(want.String())
	if string(got) != text {
		t.Errorf("%s\ngot  %s\nwant %s", m.ProtoReflect().Descriptor().FullName(), got, text)
	}
}

// filler fills messages; each value differs from the one before.
type filler struct{ skip, n int }

func (f *filler) fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		fd := fields.Get(i)
		f.n++
		if depth > 5 || f.skip > 1 && f.n%f.skip == 0 {
			continue
		}
		switch {
		case fd.IsMap():
			for _, key := range []string{"b", "a\"\n", ""} {
				m.Mutable(fd).Map().Set(protoreflect.ValueOfString(key).MapKey(), f.value(fd.MapValue()))
			}
		case fd.IsList():
			for range 2 {
				if fd.Message() != nil {
					f.fill(m.Mutable(fd).List().AppendMutable().Message(), depth+1)
				} else {
					m.Mutable(fd).List().Append(f.value(fd))
				}
			}
		case fd.Message() != nil:
			f.message(m.Mutable(fd).Message(), depth+1)
		default:
			m.Set(fd, f.value(fd))
		}
	}
}

// message fills what has limits of its own within them.
func (f *filler) message(m protoreflect.Message, depth int) {
	switch m.Descriptor().FullName() {
	case "google.protobuf.Timestamp", "google.protobuf.Duration":
		m.Set(m.Descriptor().Fields().ByName("seconds"), protoreflect.ValueOfInt64(int64(f.n)))
		m.Set(m.Descriptor().Fields().ByName("nanos"), protoreflect.ValueOfInt32(int32(f.n)*1000))
	case "google.protobuf.FieldMask":
		m.Mutable(m.Descriptor().Fields().ByName("paths")).List().Append(protoreflect.ValueOfString("a_b"))
	default:
		f.fill(m, depth)
	}
}

func (f *filler) value(fd protoreflect.FieldDescriptor) protoreflect.Value {
	f.n++
	switch fd.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(fmt.Sprintf("%d <ä😀\u2028\x7f> \"\\/\b\f\n\r\t\x00\x1f", f.n))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("[7]"))
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(int32(-f.n))
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(-1<<62 + int64(f.n))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(protoreflect.EnumNumber(f.n % 12)) // some have no name
	}
	panic("apijson's test has no value for " + fd.Kind().String())
}
