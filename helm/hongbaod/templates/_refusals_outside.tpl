{{/* What is refused of the ways in and out. */}}

{{- define "hongbaod.refusals.monitoring" -}}
{{- $token := .Values.config.admin.token_file -}}
{{- $listen := default "0.0.0.0:9464" .Values.config.admin.listen -}}
{{- if regexMatch "^(127\\.|\\[::1\\])" $listen }}
- config.admin.listen: {{ $listen }} is the pod's own loopback, which neither probes nor Prometheus reach. Write 0.0.0.0:9464
{{- end }}
{{- with .Values.metrics }}
{{- $scraped := or .podMonitor.enabled .serviceMonitor.enabled }}
{{- if and .podMonitor.enabled .serviceMonitor.enabled }}
- metrics: podMonitor and serviceMonitor are both on, and everything would be counted twice. Switch one off
{{- end }}
{{- if and .serviceMonitor.enabled (not .service.enabled) }}
- metrics.serviceMonitor: needs metrics.service.enabled: true, or use metrics.podMonitor
{{- end }}
{{- if and $scraped $.Values.networkPolicy.enabled (not $.Values.networkPolicy.ingress.admin) }}
- networkPolicy.ingress.admin: is empty, so Prometheus could not scrape. Name its pods or namespace: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: monitoring } } }]
{{- end }}
{{- if and $scraped (kindIs "string" $token) }}
- config.admin.token_file: is a path, which Prometheus cannot be told. Write { secret: NAME, key: KEY }
{{- end }}
{{- if and .service.enabled (ne .service.type "ClusterIP") (not $token) }}
- metrics.service.type: {{ .service.type }} lets strangers read metrics and jobs. Set config.admin.token_file: { secret: NAME, key: KEY }, or the type ClusterIP
{{- end }}
{{- if .prometheusRule.disabled }}
{{- $known := list }}
{{- range $file := list "files/rules.yaml" "files/rules_guard.yaml" }}
{{- range ($.Files.Get $file | fromYaml).groups }}{{ range .rules }}{{ $known = append $known .alert }}{{ end }}{{ end }}
{{- end }}
{{- range .prometheusRule.disabled }}
{{- if not (has . $known) }}
- metrics.prometheusRule.disabled: there is no alert {{ . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "hongbaod.refusals.notify" -}}
{{- $listen := .Values.config.notify.listen -}}
{{- if $listen }}
{{- if regexMatch "^(127\\.|\\[::1\\])" $listen }}
- config.notify.listen: {{ $listen }} is the pod's own loopback. Write 0.0.0.0:8080
{{- end }}
{{- if eq (include "hongbaod.port" $listen) (include "hongbaod.adminPort" .) }}
- config.notify.listen: has the port of config.admin.listen. Choose another
{{- end }}
{{- end }}
{{- with .Values.notify }}
{{- if and (or .service.enabled .ingress.enabled) (not $listen) }}
- config.notify.listen: is missing, and notify.service or notify.ingress would lead nowhere. Write 0.0.0.0:8080
{{- end }}
{{- if and .ingress.enabled (not .service.enabled) }}
- notify.ingress: needs notify.service.enabled: true
{{- end }}
{{- if and .ingress.enabled (not .ingress.hosts) }}
- notify.ingress.hosts: is empty. Name the host that is in the apps' notify_url
{{- end }}
{{- if and .ingress.enabled (not .ingress.tls) (not .ingress.tlsTerminatedElsewhere) }}
- notify.ingress.tls: is empty, and notifications would go through the world unencrypted. Name a certificate, or say tlsTerminatedElsewhere: true
{{- end }}
{{- if and (or .service.enabled .ingress.enabled) $.Values.networkPolicy.enabled (not $.Values.networkPolicy.ingress.notify) }}
- networkPolicy.ingress.notify: is empty, so no notification could come in. Name the ingress controller: [{ namespaceSelector: { matchLabels: { kubernetes.io/metadata.name: ingress-nginx } } }]
{{- end }}
{{- end }}
{{- end -}}

{{/* Ports that are written down twice, and differ. */}}
{{- define "hongbaod.refusals.network" -}}
{{- if .Values.networkPolicy.enabled }}
{{- $defaults := dict "amqp" 5672 "amqps" 5671 "redis" 6379 "rediss" 6379 }}
{{- range $server := list "rabbitmq" "redis" }}
{{- $open := list }}
{{- range include (printf "hongbaod.%sPorts" $server) $ | fromJsonArray }}{{ $open = append $open (int64 .) }}{{ end }}
{{- $urls := without (default list (get $.Values.config $server).urls) "memory:" }}
{{- if eq (default "standalone" $.Values.config.redis.mode) "sentinel" }}
{{- $_ := set $defaults "redis" 26379 }}{{ $_ := set $defaults "rediss" 26379 }}
{{- end }}
{{- range include "hongbaod.portsOf" (dict "urls" $urls "defaults" $defaults) | fromJsonArray }}
{{- if not (has (int64 .) $open) }}
- networkPolicy.egress.{{ $server }}.ports: {{ int64 . }} of config.{{ $server }}.urls is not among them. Add it, or write null
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}
