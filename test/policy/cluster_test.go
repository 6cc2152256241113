// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	registration "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/initializer"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating"
	"k8s.io/apiserver/pkg/admission/plugin/policy/validating"
	"k8s.io/apiserver/pkg/authorization/authorizerfactory"
	"k8s.io/apiserver/pkg/util/feature"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/kubernetes/pkg/api/legacyscheme"
)

// cluster is as much of an API server as admission takes part in: its plugins read policies from an API, and objects
// pass through them in the API server's order.
type cluster struct {
	admission.MutationInterface
	admission.ValidationInterface
}

// newCluster has the given policies and bindings, and one namespace. The webhook changes objects after the policies.
func newCluster(t *testing.T, webhook admission.Interface, policies ...runtime.Object) *cluster {
	t.Helper()
	config := &rest.Config{Host: serve(t, policies)}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	dynamicClient, err := dynamic.NewForConfig(config)
	if err != nil {
		t.Fatal(err)
	}
	factory := informers.NewSharedInformerFactory(client, 0)
	setUp := initializer.New(client, dynamicClient, factory, authorizerfactory.NewAlwaysAllowAuthorizer(),
		feature.DefaultFeatureGate, nil, t.Context().Done(), meta.NewDefaultRESTMapper(nil))
	plugins := admission.NewPlugins()
	mutating.Register(plugins)
	plugins.Register("webhook", func(io.Reader) (admission.Interface, error) { return webhook, nil })
	validating.Register(plugins)
	chain, err := plugins.NewFromPlugins([]string{mutating.PluginName, "webhook", validating.PluginName}, noConfig{}, setUp, nil)
	if err != nil {
		t.Fatal(err)
	}
	factory.Start(t.Context().Done())
	factory.WaitForCacheSync(t.Context().Done())
	c := &cluster{chain.(admission.MutationInterface), chain.(admission.ValidationInterface)}
	c.await(t)
	return c
}

// patience is how long the plugins may take until they are ready.
const patience = 2 * time.Minute

// await waits until the plugins have read and compiled the policies, and know the schemas. They refuse everything before: the former is waited
// for for 10 s, the latter not at all.
func (c *cluster) await(t *testing.T) {
	t.Helper()
	for begin := time.Now(); ; time.Sleep(10 * time.Millisecond) {
		err := c.admit(t, admission.Create, pod(t, "probe.sardine.run/liveness: alive"), nil)
		if err == nil || !strings.Contains(err.Error(), "not yet ready to handle request") && !strings.Contains(err.Error(), "There can be a delay") {
			return
		}
		if time.Since(begin) > patience {
			t.Fatalf("not within %v: %v", patience, err)
		}
	}
}

type noConfig struct{}

func (noConfig) ConfigFor(string) (io.Reader, error) { return nil, nil }

// serve is the API that the plugins read.
func serve(t *testing.T, policies []runtime.Object) string {
	t.Helper()
	lists := map[string][]runtime.Object{"/api/v1/namespaces": {&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "default"}}}}
	for _, resource := range []string{
		"mutatingadmissionpolicies", "mutatingadmissionpolicybindings", "validatingadmissionpolicies", "validatingadmissionpolicybindings",
	} {
		lists["/apis/"+registration.SchemeGroupVersion.String()+"/"+resource] = []runtime.Object{}
	}
	for _, policy := range policies {
		kind := policy.GetObjectKind().GroupVersionKind()
		plural, _ := meta.UnsafeGuessKindToResource(kind)
		path := "/apis/" + registration.SchemeGroupVersion.String() + "/" + plural.Resource
		lists[path] = append(lists[path], policy)
	}
	answers := map[string]any{
		// Schemas are for policies that apply configurations; the plugin wants to have them for others too.
		"/openapi/v3":        map[string]any{"paths": map[string]any{"api/v1": map[string]any{"serverRelativeURL": "/openapi/v3/api/v1"}}},
		"/openapi/v3/api/v1": map[string]any{"openapi": "3.0.0", "components": map[string]any{"schemas": map[string]any{}}},
	}
	for path, items := range lists {
		answers[path] = map[string]any{"metadata": map[string]any{"resourceVersion": "1"}, "items": items}
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		switch {
		case !ok || r.URL.Query().Get("sendInitialEvents") != "":
			http.Error(w, "{}", http.StatusBadRequest)
		case r.URL.Query().Get("watch") != "":
			// Nothing ever changes.
			w.(http.Flusher).Flush()
			select {
			case <-r.Context().Done():
			case <-t.Context().Done():
			}
		default:
			w.Header().Set("Content-Type", "application/json")
			if err := json.NewEncoder(w).Encode(answer); err != nil && t.Context().Err() == nil {
				t.Errorf("%s: %v", r.URL, err)
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// admit takes an object in its internal version the way of the API server: it is changed, validated, and refused or not.
func (c *cluster) admit(t *testing.T, operation admission.Operation, object, old runtime.Object) error {
	t.Helper()
	accessor, err := meta.Accessor(object)
	if err != nil {
		t.Fatal(err)
	}
	kind := versioned(t, object).GetObjectKind().GroupVersionKind()
	resource, _ := meta.UnsafeGuessKindToResource(kind)
	attributes := admission.NewAttributesRecord(object, old, kind, accessor.GetNamespace(), accessor.GetName(), resource, "",
		operation, nil, false, nil)
	interfaces := admission.NewObjectInterfacesFromScheme(legacyscheme.Scheme)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := c.Admit(ctx, attributes, interfaces); err != nil {
		return err
	}
	if problems := validate(t, object); operation == admission.Create && len(problems) > 0 {
		return problems.ToAggregate()
	}
	return c.Validate(ctx, attributes, interfaces)
}

// versioned is an object of an internal version in the one that users write.
func versioned(t *testing.T, object runtime.Object) runtime.Object {
	t.Helper()
	kinds, _, err := legacyscheme.Scheme.ObjectKinds(object)
	if err != nil {
		t.Fatal(err)
	}
	version := schema.GroupVersion{Group: kinds[0].Group, Version: "v1"}
	result, err := legacyscheme.Scheme.ConvertToVersion(object, version)
	if err != nil {
		t.Fatal(err)
	}
	result.GetObjectKind().SetGroupVersionKind(version.WithKind(strings.TrimPrefix(kinds[0].Kind, "*")))
	return result
}
