// SPDX-License-Identifier: Apache-2.0

// Package churn attaches and detaches a thousand pods in random order while what does it is killed.
//
// A keeper is a process that has the pods' networks as a daemon has them, and nothing else, so that it dies and starts in
// milliseconds. The test plays the kubelet and holds the pods' namespaces. What is attached must be reachable and have an
// address of its own; at the end no address, rule, interface, namespace or record may be left.
//
// SARDINE_CHURN_SEED repeats the order of an earlier run, SARDINE_CHURN_OPERATIONS changes the thousand.
package churn
