// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"fmt"
	"net/http"
	"os"
	"time"
)

// ServeArgument has the program of the command line be the server of the demonstration's pod.
const ServeArgument = "demo-serve"

// Serve answers on port 80 until the pod ends.
func Serve() error {
	server := &http.Server{Addr: ":80", ReadHeaderTimeout: time.Second, Handler: http.HandlerFunc(answer)}
	return server.ListenAndServe()
}

func answer(w http.ResponseWriter, r *http.Request) {
	name, err := os.Hostname()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "pod %s, process %d, asked by %s", name, os.Getpid(), r.RemoteAddr)
}
