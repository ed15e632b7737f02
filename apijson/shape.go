package apijson

import (
	"sync"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	ripostev1 "github.com/riposte-dev/riposte/gen/riposte/v1"
)

// shape is what reading and writing need to know of a message's type, found out
// once: to ask the descriptors each time costs more than the rest.
type shape struct {
	wellKnown bool // it has a JSON form of its own
	fields    []*fieldShape
	byName    map[string]*fieldShape // JSON names and the proto file's
}

type fieldShape struct {
	desc protoreflect.FieldDescriptor
	key  string // its name as it is written, with quotes and colon
	raw  bool
	mask bool
}

var shapes sync.Map // of *shape by protoreflect.MessageDescriptor

func shapeOf(md protoreflect.MessageDescriptor) *shape {
	if s, ok := shapes.Load(md); ok {
		return s.(*shape)
	}
	s := &shape{wellKnown: md.ParentFile().Package() == "google.protobuf", byName: map[string]*fieldShape{}}
	for i := range md.Fields().Len() {
		fd := md.Fields().Get(i)
		f := &fieldShape{desc: fd, key: `"` + fd.JSONName() + `":`, raw: isRaw(fd),
			mask: fd.Message() != nil && fd.Message().FullName() == "google.protobuf.FieldMask"}
		s.fields = append(s.fields, f)
		s.byName[fd.TextName()] = f
	}
	for _, f := range s.fields {
		s.byName[f.desc.JSONName()] = f
	}
	shapes.Store(md, s)
	return s
}

func isRaw(fd protoreflect.FieldDescriptor) bool {
	if fd.Kind() != protoreflect.BytesKind {
		return false
	}
	raw, _ := proto.GetExtension(fd.Options(), ripostev1.E_RawJson).(bool)
	return raw
}

// field returns nil for a name that the message doesn't have. No field's name
// needs escapes, though it may be written with some.
func (s *shape) field(quoted []byte) *fieldShape {
	if f, ok := s.byName[string(quoted[1:len(quoted)-1])]; ok {
		return f
	}
	return s.byName[unquoted(quoted)]
}
