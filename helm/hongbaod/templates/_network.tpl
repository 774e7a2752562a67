{{/* Ports of a NetworkPolicy. */}}

{{/* The ports of these URLs (`urls`), with the default of their scheme (`defaults`), as a YAML list. */}}
{{- define "hongbaod.portsOf" -}}
{{- $ports := list -}}
{{- range .urls -}}
{{- $scheme := regexFind "^[a-z]+" . -}}
{{- $authority := regexReplaceAll "^[a-z]+://([^/?#]*).*$" . "${1}" | regexFind "[^@]*$" -}}
{{- $port := regexFind ":[0-9]+$" $authority | trimPrefix ":" -}}
{{- $ports = append $ports (default (get $.defaults $scheme) ($port | int)) -}}
{{- end -}}
{{- $ports | uniq | toJson -}}
{{- end -}}

{{- define "hongbaod.rabbitmqPorts" -}}
{{- $urls := .Values.config.rabbitmq.urls -}}
{{- $given := .Values.networkPolicy.egress.rabbitmq.ports -}}
{{- if $given }}{{ toJson $given }}
{{- else if $urls }}{{ include "hongbaod.portsOf" (dict "urls" $urls "defaults" (dict "amqp" 5672 "amqps" 5671)) }}
{{- else }}[5671,5672]{{ end -}}
{{- end -}}

{{/* Sentinels name masters, and nodes of a cluster name others: those are at Redis' usual port, or given. */}}
{{- define "hongbaod.redisPorts" -}}
{{- $urls := .Values.config.redis.urls -}}
{{- $given := .Values.networkPolicy.egress.redis.ports -}}
{{- $mode := default "standalone" .Values.config.redis.mode -}}
{{- $usual := ternary 26379 6379 (eq $mode "sentinel") -}}
{{- if $given }}{{ toJson $given }}
{{- else -}}
{{- $ports := list $usual -}}
{{- if $urls -}}
{{- $ports = include "hongbaod.portsOf" (dict "urls" $urls "defaults" (dict "redis" $usual "rediss" $usual)) | fromJsonArray -}}
{{- end -}}
{{- if eq $mode "sentinel" }}{{ $ports = append $ports 6379 }}{{ end -}}
{{- toJson (uniq $ports) -}}
{{- end -}}
{{- end -}}

{{- define "hongbaod.webPorts" -}}
{{- if .given }}{{ toJson .given }}
{{- else }}{{ include "hongbaod.portsOf" (dict "urls" (list .url) "defaults" (dict "http" 80 "https" 443)) }}{{ end -}}
{{- end -}}

{{/* One rule of egress: `to`, `ports` (JSON), `protocols`. */}}
{{- define "hongbaod.egressRule" -}}
- ports:
    {{- range $port := fromJsonArray .ports }}
    {{- range default (list "TCP") $.protocols }}
    - port: {{ $port | int64 }}
      protocol: {{ . }}
    {{- end }}
    {{- end }}
  {{- with .to }}
  to:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}
