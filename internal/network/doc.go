// SPDX-License-Identifier: Apache-2.0

// Package network attaches pods to networks with CNI plugins.
//
// libcni runs the plugin chains; what is around it is here. Plugins that run inside the daemon (package cniplugin) stand where libcni
// would execute programs; with them, ADD and DEL go through a chain here, without the encoding in between, and leave what
// libcni would. The configuration directory
// is read again whenever it has changed. What is about to be attached is recorded before
// the first plugin runs, with the configuration it is attached by, so that a later daemon
// can detach it although the configuration has changed or gone. A DEL that failed is
// tried again until it succeeds: no address leaks.
//
// Specification: https://www.cni.dev/docs/spec/ (1.1.0), conventions for Kubernetes:
// https://www.cni.dev/docs/conventions/.
package network
