// Package check reads the manifests of deploy/ as those who run them do: with the
// types of Kubernetes' API and the schema of Compose, and nothing unknown let pass.
// It is a module of its own, so that the product's depends on neither.
package check

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// objects are what the manifests may hold, by apiVersion and kind.
var objects = map[string]func() any{
	"v1 ServiceAccount":             func() any { return &corev1.ServiceAccount{} },
	"v1 Service":                    func() any { return &corev1.Service{} },
	"v1 Secret":                     func() any { return &corev1.Secret{} },
	"apps/v1 Deployment":            func() any { return &appsv1.Deployment{} },
	"policy/v1 PodDisruptionBudget": func() any { return &policyv1.PodDisruptionBudget{} },
}

func TestKubernetesManifestsHaveNothingUnknown(t *testing.T) {
	read := readManifests(t)
	for kind := range objects {
		if read[kind] == nil {
			t.Errorf("no %s was found", kind)
		}
	}
}

// TestKubernetesObjectsFindEachOther checks what no type can: names and labels.
func TestKubernetesObjectsFindEachOther(t *testing.T) {
	read := readManifests(t)
	deployment := read["apps/v1 Deployment"].(*appsv1.Deployment)
	service := read["v1 Service"].(*corev1.Service)
	secret := read["v1 Secret"].(*corev1.Secret)
	budget := read["policy/v1 PodDisruptionBudget"].(*policyv1.PodDisruptionBudget)
	account := read["v1 ServiceAccount"].(*corev1.ServiceAccount)
	pod := deployment.Spec.Template

	selectors := map[string]*metav1.LabelSelector{"deployment": deployment.Spec.Selector, "budget": budget.Spec.Selector,
		"service": {MatchLabels: service.Spec.Selector}}
	for _, c := range pod.Spec.TopologySpreadConstraints {
		selectors["spread by "+c.TopologyKey] = c.LabelSelector
	}
	for name, s := range selectors {
		selector, err := metav1.LabelSelectorAsSelector(s)
		if err != nil || selector.Empty() || !selector.Matches(labels.Set(pod.Labels)) {
			t.Errorf("%s: the selector %v (%v) does not find the pods, which have %v", name, s, err, pod.Labels)
		}
	}
	if pod.Spec.ServiceAccountName != account.Name {
		t.Errorf("the pods have the account %q, there is %q", pod.Spec.ServiceAccountName, account.Name)
	}

	container := pod.Spec.Containers[0]
	ports := map[string]bool{}
	for _, p := range container.Ports {
		ports[p.Name] = true
	}
	named := []string{service.Spec.Ports[0].TargetPort.String()}
	for _, probe := range []*corev1.Probe{container.LivenessProbe, container.ReadinessProbe, container.StartupProbe} {
		named = append(named, probe.HTTPGet.Port.String())
	}
	for _, name := range named {
		if !ports[name] {
			t.Errorf("no port is named %q", name)
		}
	}
	for _, e := range container.Env {
		if e.ValueFrom == nil {
			continue
		}
		ref := e.ValueFrom.SecretKeyRef
		if _, ok := secret.StringData[ref.Key]; !ok || ref.Name != secret.Name {
			t.Errorf("%s: the secret %s has no %s", e.Name, ref.Name, ref.Key)
		}
	}
}

func readManifests(t *testing.T) map[string]any {
	t.Helper()
	files, err := filepath.Glob("../kubernetes/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatalf("found no manifests (%v)", err)
	}
	read := map[string]any{}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		documents := yamlreader.NewDocumentDecoder(io.NopCloser(bytes.NewReader(text)))
		defer documents.Close()
		buffer := make([]byte, len(text)+1)
		for {
			n, err := documents.Read(buffer)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			kind, object := readObject(t, name, buffer[:n])
			read[kind] = object
		}
	}
	return read
}

func readObject(t *testing.T, name string, document []byte) (string, any) {
	t.Helper()
	var meta metav1.TypeMeta
	if err := yaml.Unmarshal(document, &meta); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	kind := meta.APIVersion + " " + meta.Kind
	create := objects[kind]
	if create == nil {
		t.Fatalf("%s: nobody knows what a %q is", name, kind)
	}
	object := create()
	if err := yaml.UnmarshalStrict(document, object); err != nil {
		t.Errorf("%s: %s: %v", name, kind, err)
	}
	return kind, object
}

func TestComposeFileIsOne(t *testing.T) {
	dir, err := filepath.Abs("../compose")
	if err != nil {
		t.Fatal(err)
	}
	project, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir:  dir,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(dir, "compose.yaml")}},
		Environment: types.Mapping{"RIPOSTE_API_KEY": "0123456789abcdef", "RIPOSTE_MASTER_KEY": "a key"},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"postgres", "node1", "node2", "node3", "haproxy"} {
		if _, err := project.GetService(name); err != nil {
			t.Error(err)
		}
	}
	for _, s := range project.Services {
		if s.Build == nil {
			continue
		}
		if _, err := os.Stat(filepath.Join(s.Build.Context, s.Build.Dockerfile)); err != nil {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}
