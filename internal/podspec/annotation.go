// SPDX-License-Identifier: Apache-2.0

package podspec

import (
	"maps"
	"path"
	"strings"
)

// annotations passes on those that the handler's configuration names, and tells hooks, NRI
// plugins and tools like the NVIDIA toolkit whose container this is, under containerd's names.
func (t *translation) annotations() error {
	if t.spec.Annotations == nil {
		t.spec.Annotations = map[string]string{}
	}
	a, pod := t.spec.Annotations, t.c.Pod.Config
	pass(a, pod.GetAnnotations(), t.handler.PodAnnotations)
	pass(a, t.config.GetAnnotations(), t.handler.ContainerAnnotations)
	image := t.config.GetImage().GetUserSpecifiedImage()
	if image == "" {
		image = t.c.ImageName
	}
	maps.Copy(a, map[string]string{
		"io.kubernetes.cri.container-type":    "container",
		"io.kubernetes.cri.container-name":    t.config.GetMetadata().GetName(),
		"io.kubernetes.cri.image-name":        image,
		"io.kubernetes.cri.sandbox-id":        t.c.Pod.ID,
		"io.kubernetes.cri.sandbox-name":      pod.GetMetadata().GetName(),
		"io.kubernetes.cri.sandbox-namespace": pod.GetMetadata().GetNamespace(),
		"io.kubernetes.cri.sandbox-uid":       pod.GetMetadata().GetUid(),
	})
	return nil
}

func pass(to, from map[string]string, patterns []string) {
	for k, v := range from {
		for _, p := range patterns {
			if ok, _ := path.Match(p, k); ok { // a bad pattern matches nothing
				to[k] = v
				break
			}
		}
	}
}

// refusedClasses: a class of cache or disk bandwidth that is not kept would be a promise
// broken in silence.
func (t *translation) refusedClasses() error {
	if class := t.class("rdt"); class != "" && !t.node.IgnoreRDT {
		return unsupported("annotations: RDT class %s: cache and memory bandwidth allocation is not done; "+
			"remove the annotation or set ignore_rdt_not_enabled_errors", quoted(class))
	}
	if class := t.class("blockio"); class != "" && !t.node.IgnoreBlockIO {
		return unsupported("annotations: blockio class %s: block I/O classes are not supported; "+
			"remove the annotation or set ignore_blockio_not_enabled_errors", quoted(class))
	}
	return nil
}

// class is the one a container is in: its own annotation, then its pod's for it, then its
// pod's for all. The names are those of intel/goresctrl.
func (t *translation) class(kind string) string {
	if class, ok := t.config.GetAnnotations()["io.kubernetes.cri."+kind+"-class"]; ok {
		return class
	}
	pod, prefix := t.c.Pod.Config.GetAnnotations(), kind+".resources.beta.kubernetes.io/"
	if class, ok := pod[strings.Join([]string{prefix, "container.", t.config.GetMetadata().GetName()}, "")]; ok {
		return class
	}
	return pod[prefix+"pod"]
}
