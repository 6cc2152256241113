// SPDX-License-Identifier: Apache-2.0

package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// freshness is how old a list of pods may be: subtests that look at the same
// time share one.
const freshness = 50 * time.Millisecond

// api is the kubelet's HTTPS API.
type api struct {
	base   string
	client *http.Client

	mu     sync.Mutex
	listed time.Time
	list   podList
}

// newAPI trusts the certificate that the kubelet has made for itself.
func newAPI(k *kubelet) *api {
	var roots *x509.CertPool
	eventually(k.node.t, "the kubelet has a certificate", func() error {
		k.mustRun()
		pem, err := os.ReadFile(k.node.path("pki", "kubelet.crt"))
		if err != nil {
			return err
		}
		roots = x509.NewCertPool()
		if !roots.AppendCertsFromPEM(pem) {
			return errors.New("no certificate in it")
		}
		return nil
	})
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, ServerName: "node"}}
	return &api{base: fmt.Sprintf("https://127.0.0.1:%d", kubeletPort), client: &http.Client{Transport: transport}}
}

func (a *api) tls() *tls.Config {
	return a.client.Transport.(*http.Transport).TLSClientConfig.Clone()
}

func (a *api) close() { a.client.CloseIdleConnections() }

// get returns what the kubelet answers on a path.
func (a *api) get(path string) ([]byte, error) {
	return a.request(http.MethodGet, path)
}

func (a *api) request(method, path string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	body, err := a.open(ctx, method, path)
	if err != nil {
		return nil, err
	}
	defer body.Close()
	return io.ReadAll(body)
}

// open returns the answer as it comes, for logs that are followed.
func (a *api) open(ctx context.Context, method, path string) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.base+path, nil)
	if err != nil {
		return nil, err
	}
	response, err := a.client.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode == http.StatusOK {
		return response.Body, nil
	}
	defer response.Body.Close()
	body, _ := io.ReadAll(response.Body)
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, body)
}

// pods returns the pods with their states.
func (a *api) pods() (podList, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if time.Since(a.listed) < freshness {
		return a.list, nil
	}
	body, err := a.get("/pods")
	if err != nil {
		return podList{}, err
	}
	var list podList
	if err := json.Unmarshal(body, &list); err != nil {
		return podList{}, err
	}
	a.list, a.listed = list, time.Now()
	return list, nil
}

// podList is what the tests read of Kubernetes' v1.PodList.
type podList struct {
	Items []podState `json:"items"`
}

type podState struct {
	Metadata struct {
		Name string `json:"name"`
		UID  string `json:"uid"`
	} `json:"metadata"`
	Status struct {
		Phase          string            `json:"phase"`
		Reason         string            `json:"reason"`
		Message        string            `json:"message"`
		PodIP          string            `json:"podIP"`
		QOSClass       string            `json:"qosClass"`
		Conditions     []condition       `json:"conditions"`
		InitContainers []containerStatus `json:"initContainerStatuses"`
		Containers     []containerStatus `json:"containerStatuses"`
	} `json:"status"`
}

type condition struct {
	Type   string `json:"type"`
	Status string `json:"status"`
}

type containerStatus struct {
	Name         string         `json:"name"`
	Ready        bool           `json:"ready"`
	Started      *bool          `json:"started"`
	RestartCount int            `json:"restartCount"`
	ContainerID  string         `json:"containerID"`
	State        containerState `json:"state"`
	LastState    containerState `json:"lastState"`
}

type containerState struct {
	Waiting *struct {
		Reason  string `json:"reason"`
		Message string `json:"message"`
	} `json:"waiting"`
	Running *struct {
		StartedAt time.Time `json:"startedAt"`
	} `json:"running"`
	Terminated *termination `json:"terminated"`
}

type termination struct {
	Reason     string    `json:"reason"`
	ExitCode   int       `json:"exitCode"`
	Message    string    `json:"message"`
	StartedAt  time.Time `json:"startedAt"`
	FinishedAt time.Time `json:"finishedAt"`
}

// condition tells whether a condition of the pod is true.
func (s *podState) condition(name string) bool {
	for _, c := range s.Status.Conditions {
		if c.Type == name {
			return c.Status == "True"
		}
	}
	return false
}

// container returns the status of a container, an init container too.
func (s *podState) container(name string) containerStatus {
	for _, list := range [][]containerStatus{s.Status.Containers, s.Status.InitContainers} {
		for _, c := range list {
			if c.Name == name {
				return c
			}
		}
	}
	return containerStatus{Name: name}
}

// String is the status as the kubelet reports it, for messages of tests.
func (s *podState) String() string {
	text, _ := json.Marshal(s.Status)
	return string(text)
}
