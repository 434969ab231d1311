// Command goagent is a stand-in for an agent that speaks only what reference protocol §1–§4 describe: one WebSocket,
// JSON messages, yamux with version-1 headers. It is written for tests of the control plane and keeps, on purpose,
// the habits that the reference warns of (§6): 30 s for every API request, chunks written from the read loop,
// a cancel that cancels nothing, silence after a reconnect.
package main

import (
	"crypto/tls"
	"crypto/x509"
	"flag"
	"log"
	"net/url"
	"os"
	"strings"
	"time"
)

type options struct {
	url, token, agentID, name     string
	controlCA                     string
	kubeURL, kubeCA, serviceToken string
	targets                       map[string]string
	yamux, streaming              bool
	heartbeat, kubeTimeout        time.Duration
}

func main() {
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	o := parse()
	a := newAgent(o)
	delay := 500 * time.Millisecond
	for first := true; ; first = false {
		started := time.Now()
		err := a.connect(first)
		log.Printf("connection ended: %v", err)
		if time.Since(started) > 5*time.Second {
			delay = 500 * time.Millisecond
		}
		time.Sleep(delay)
		if delay *= 2; delay > 15*time.Second {
			delay = 15 * time.Second
		}
	}
}

func parse() options {
	var o options
	var tokenFile, serviceTokenFile, targets string
	flag.StringVar(&o.url, "url", "", "control plane")
	flag.StringVar(&tokenFile, "token-file", "", "file with the cluster token")
	flag.StringVar(&o.agentID, "agent-id", "agent-0a1b2c3d4e5f6071", "")
	flag.StringVar(&o.name, "name", "edge-1", "")
	flag.StringVar(&o.controlCA, "control-ca", "", "PEM file")
	flag.StringVar(&o.kubeURL, "kube-url", "", "API server")
	flag.StringVar(&o.kubeCA, "kube-ca", "", "PEM file")
	flag.StringVar(&serviceTokenFile, "service-token-file", "", "file with the ServiceAccount token to register")
	flag.StringVar(&targets, "targets", "", "service.namespace:port=host:port, comma separated")
	flag.BoolVar(&o.yamux, "yamux", true, "acknowledge gateway_hello")
	flag.BoolVar(&o.streaming, "streaming", true, "honour supports_response_streaming")
	flag.DurationVar(&o.heartbeat, "heartbeat", 30*time.Second, "")
	flag.DurationVar(&o.kubeTimeout, "kube-timeout", 30*time.Second, "total time of an API request")
	flag.Parse()
	o.token = read(tokenFile)
	if serviceTokenFile != "" {
		o.serviceToken = read(serviceTokenFile)
	}
	o.targets = map[string]string{}
	for _, pair := range strings.Split(targets, ",") {
		if from, to, ok := strings.Cut(pair, "="); ok {
			o.targets[from] = to
		}
	}
	return o
}

func read(path string) string {
	data, err := os.ReadFile(path)
	if err != nil {
		log.Fatal(err)
	}
	return strings.TrimSpace(string(data))
}

func trust(file string) *tls.Config {
	if file == "" {
		return nil
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM([]byte(read(file))) {
		log.Fatalf("%s holds no certificate", file)
	}
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

func socketURL(base string) string {
	u, err := url.Parse(base)
	if err != nil {
		log.Fatal(err)
	}
	if u.Scheme == "https" {
		u.Scheme = "wss"
	} else {
		u.Scheme = "ws"
	}
	u.Path = "/api/v1/clusters/agent/ws"
	return u.String()
}
