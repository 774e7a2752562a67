{{/* Names and labels. */}}

{{- define "hongbaod.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/* 52 characters leave room for what is put behind it, "-notify" and the hash of a pod. */}}
{{- define "hongbaod.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- $name := include "hongbaod.name" . -}}
{{- ternary .Release.Name (printf "%s-%s" .Release.Name $name) (contains $name .Release.Name) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "hongbaod.serviceAccountName" -}}
{{- $default := ternary (include "hongbaod.fullname" .) "default" .Values.serviceAccount.create -}}
{{- default $default .Values.serviceAccount.name -}}
{{- end -}}

{{/* What never changes in the life of a release. */}}
{{- define "hongbaod.selector" -}}
app.kubernetes.io/name: {{ include "hongbaod.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* The pods that take jobs, as opposed to the one of `helm test`. */}}
{{- define "hongbaod.workers" -}}
{{ include "hongbaod.selector" . }}
app.kubernetes.io/component: worker
{{- end -}}

{{- define "hongbaod.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "hongbaod.selector" . }}
app.kubernetes.io/version: {{ default .Chart.AppVersion .Values.image.tag | replace "+" "_" | trunc 63 | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "hongbaod.image" -}}
{{- with .Values.image -}}
{{- if .digest -}}
{{- printf "%s@%s" .repository .digest -}}
{{- else -}}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* "true" or nothing. */}}
{{- define "hongbaod.isStateful" -}}
{{- if and .Values.audit.persistence.enabled (not .Values.audit.persistence.existingClaim) }}true{{ end -}}
{{- end -}}

{{- define "hongbaod.isScaled" -}}
{{- if or .Values.autoscaling.keda.enabled .Values.autoscaling.hpa.enabled }}true{{ end -}}
{{- end -}}

{{/* A duration of the configuration in milliseconds. */}}
{{- define "hongbaod.milliseconds" -}}
{{- $units := dict "ms" 1 "s" 1000 "m" 60000 "h" 3600000 "d" 86400000 -}}
{{- mul (regexFind "^[0-9]+" . | int64) (get $units (regexFind "[a-z]+$" .) | int64) -}}
{{- end -}}

{{/* shutdown.grace in whole seconds, rounded up. */}}
{{- define "hongbaod.graceSeconds" -}}
{{- $ms := include "hongbaod.milliseconds" (default "25s" .Values.config.shutdown.grace) | int64 -}}
{{- div (add $ms 999) 1000 -}}
{{- end -}}

{{- define "hongbaod.terminationSeconds" -}}
{{- default (add (include "hongbaod.graceSeconds" .) 10) .Values.terminationGracePeriodSeconds | int64 -}}
{{- end -}}

{{/* The port of an ip:port. */}}
{{- define "hongbaod.port" -}}
{{- regexFind "[0-9]+$" . -}}
{{- end -}}

{{- define "hongbaod.adminPort" -}}
{{- include "hongbaod.port" (default "0.0.0.0:9464" .Values.config.admin.listen) -}}
{{- end -}}

{{/* The apps, without those that a further file of values has set to null. */}}
{{- define "hongbaod.apps" -}}
{{- $apps := dict -}}
{{- range $name, $app := .Values.config.alipay.apps -}}
{{- if $app }}{{ $_ := set $apps $name $app }}{{ end -}}
{{- end -}}
{{- toYaml $apps -}}
{{- end -}}
