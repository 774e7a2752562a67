{{/* What is refused, all of it at once, each with what to do instead. docs/kubernetes.md lists every line. */}}

{{- define "hongbaod.refusals" -}}
{{- include "hongbaod.refusals.servers" . -}}
{{- include "hongbaod.refusals.apps" . -}}
{{- include "hongbaod.refusals.files" (dict "path" "config" "table" .Values.config) -}}
{{- include "hongbaod.refusals.pods" . -}}
{{- include "hongbaod.refusals.environment" . -}}
{{- include "hongbaod.refusals.scaling" . -}}
{{- include "hongbaod.refusals.audit" . -}}
{{- include "hongbaod.refusals.monitoring" . -}}
{{- include "hongbaod.refusals.notify" . -}}
{{- include "hongbaod.refusals.network" . -}}
{{- end -}}

{{/* The names of the variables of extraEnv, one a line, in capitals. */}}
{{- define "hongbaod.variables" -}}
{{- range .Values.extraEnv }}
{{ upper .name }}
{{- end }}
{{ end -}}

{{- define "hongbaod.refusals.servers" -}}
{{- $variables := include "hongbaod.variables" . -}}
{{- range $server := list "rabbitmq" "redis" -}}
{{- $table := get $.Values.config $server -}}
{{- $example := ternary "amqp://user:password@host:5672/%2f" "redis://user:password@host:6379/0" (eq $server "rabbitmq") -}}
{{- $byVariable := regexMatch (printf "\nHONGBAOD__%s__URLS?(_FILE)?\n" (upper $server)) $variables -}}
{{- if and (not $table.urls) (not $table.urls_file) (not $byVariable) }}
- config.{{ $server }}: where it is, is missing. Put the URL ({{ $example }}) into a Secret and write config.{{ $server }}.urls_file: { secret: NAME, key: KEY }
{{- end }}
{{- if and $table.urls $table.urls_file }}
- config.{{ $server }}: urls and urls_file are both given. Take one of the two out
{{- end }}
{{- range $table.urls }}
{{- if eq . "memory:" }}
- config.{{ $server }}.urls: "memory:" forgets everything with the pod, and jobs would be paid twice or lost. Name a real server
{{- end }}
{{- if regexMatch "://[^@]*:[^@]*@" . }}
- config.{{ $server }}.urls: a URL holds a password, and whoever may read the release could read it. Put the URLs into a Secret, one a line, and write config.{{ $server }}.urls_file: { secret: NAME, key: KEY } instead
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "hongbaod.refusals.apps" -}}
{{- $apps := include "hongbaod.apps" . | fromYaml -}}
{{- $names := keys $apps | sortAlpha -}}
{{- $byVariable := contains "\nHONGBAOD__ALIPAY__APPS__" (include "hongbaod.variables" .) -}}
{{- if and (not $apps) (not $byVariable) }}
- config.alipay.apps: no app is configured. Put its keys into a Secret and write config.alipay.apps.main: { app_id: "2021...", private_key_file: { secret: NAME, key: KEY }, alipay_public_key_file: { secret: NAME, key: KEY } }
{{- end }}
{{- range $name, $app := $apps }}
{{- if and (not $app.private_key_file) (not $byVariable) }}
- config.alipay.apps.{{ $name }}: private_key_file is missing. Write private_key_file: { secret: NAME, key: KEY }
{{- end }}
{{- $certificates := list $app.app_cert_file $app.alipay_cert_file $app.alipay_root_cert_file | compact }}
{{- if not (or $app.alipay_public_key_file $certificates $byVariable) }}
- config.alipay.apps.{{ $name }}: answers could not be verified. Write alipay_public_key_file, or in certificate mode app_cert_file, alipay_cert_file and alipay_root_cert_file, each { secret: NAME, key: KEY }
{{- end }}
{{- if and $certificates (or $app.alipay_public_key_file (lt (len $certificates) 3)) }}
- config.alipay.apps.{{ $name }}: certificate mode needs app_cert_file, alipay_cert_file and alipay_root_cert_file, and no alipay_public_key_file
{{- end }}
{{- end }}
{{- with .Values.config.alipay.default_app }}
{{- if not (or (has . $names) $byVariable) }}
- config.alipay.default_app: there is no app {{ . }}. Write one of config.alipay.apps
{{- end }}
{{- else }}
{{- if and (gt (len $names) 1) (not (has "main" $names)) }}
- config.alipay.default_app: is missing, and there are several apps. Write one of {{ join ", " $names }}
{{- end }}
{{- end }}
{{- end -}}

{{/* Texts of secrets, which the schema refuses too, and references that name no source or two. */}}
{{- define "hongbaod.refusals.files" -}}
{{- $texts := list "tls_ca" "tls_cert" "tls_key" "sentinel_password" "private_key" "alipay_public_key" "app_cert" "alipay_cert" "alipay_root_cert" "aes_key" "app_auth_token" "token" -}}
{{- range $key, $value := .table }}
{{- $path := printf "%s.%s" $.path $key }}
{{- if and (has $key $texts) (not (kindIs "invalid" $value)) }}
- {{ $path }}: not as text in values. Write {{ $key }}_file: { secret: NAME, key: KEY } and create that Secret
{{- else if and (kindIs "map" $value) (hasSuffix "_file" $key) }}
{{- if eq (hasKey $value "secret") (hasKey $value "configMap") }}
- {{ $path }}: write { secret: NAME, key: KEY } or { configMap: NAME, key: KEY }
{{- end }}
{{- else if kindIs "map" $value }}
{{- include "hongbaod.refusals.files" (dict "path" $path "table" $value) }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "hongbaod.refusals.pods" -}}
{{- $grace := include "hongbaod.graceSeconds" . | int64 -}}
{{- $termination := include "hongbaod.terminationSeconds" . | int64 -}}
{{- if lt $termination (add $grace 5) }}
- terminationGracePeriodSeconds: {{ $termination }} is less than config.shutdown.grace ({{ $grace }} s) and 5 seconds, so pods would be killed in the middle of calls. Write at least {{ add $grace 5 }}, or null
{{- end }}
{{- if and (eq (default "" .Values.image.tag) "latest") (not .Values.image.digest) }}
- image.tag: "latest" names no version, and replicas could run different ones. Name a version, or image.digest
{{- end }}
{{- $ours := list "app.kubernetes.io/name" "app.kubernetes.io/instance" "app.kubernetes.io/component" "app.kubernetes.io/version" "app.kubernetes.io/managed-by" "helm.sh/chart" -}}
{{- range $key := concat (keys .Values.podLabels) (keys .Values.commonLabels) | sortAlpha }}
{{- if has $key $ours }}
- podLabels, commonLabels: {{ $key }} is the chart's own. Choose another name
{{- end }}
{{- end }}
{{- with .Values.podDisruptionBudget }}
{{- $replicas := ternary $.Values.autoscaling.minReplicas $.Values.replicas (eq (include "hongbaod.isScaled" $) "true") }}
{{- if and .enabled (not .minAvailable) (not .maxUnavailable) }}
- podDisruptionBudget: has neither maxUnavailable nor minAvailable. Write maxUnavailable: 1, or enabled: false
{{- end }}
{{- if and .enabled .minAvailable (not (kindIs "string" .minAvailable)) (gt ($replicas | int) 0) (ge (.minAvailable | int) ($replicas | int)) }}
- podDisruptionBudget.minAvailable: with {{ $replicas }} replicas no pod could ever leave, and no node be drained. Write less, or maxUnavailable: 1
{{- end }}
{{- end }}
{{- with .Values.podSecurityContext }}
{{- if and .runAsUser (not .fsGroup) (include "hongbaod.secretSources" $) }}
- podSecurityContext.fsGroup: is missing, and the mounted files are for that group alone. Write a group, or null for runAsUser as well where the cluster chooses both (OpenShift)
{{- end }}
{{- end }}
{{- range .Values.extraObjects }}
{{- if eq (default "" .kind) "Secret" }}
- extraObjects: a Secret would lie open in the release. Create it outside of Helm, or write an ExternalSecret (examples/external-secrets.yaml)
{{- end }}
{{- end }}
{{- end -}}

{{- define "hongbaod.refusals.environment" -}}
{{- range .Values.extraEnv }}
{{- $name := upper .name }}
{{- $value := toString (default "" .value) }}
{{- if regexMatch "^HONGBAOD__.*__(PRIVATE_KEY|AES_KEY|APP_AUTH_TOKEN|TLS_KEY|SENTINEL_PASSWORD|TOKEN)$" $name }}
{{- if hasKey . "value" }}
- extraEnv: {{ .name }} is a secret, given as text. Use the key {{ regexFind "[A-Z_]+$" $name | trimPrefix "HONGBAOD__" | splitList "__" | last | lower }}_file of config, or valueFrom.secretKeyRef
{{- end }}
{{- end }}
{{- if and (regexMatch "^HONGBAOD__(RABBITMQ|REDIS)__URLS?$" $name) (regexMatch "://[^@]*:[^@]*@" $value) }}
- extraEnv: {{ .name }} holds a password. Use urls_file of config, or valueFrom.secretKeyRef
{{- end }}
{{- if and (regexMatch "^HONGBAOD__(RABBITMQ|REDIS)__URLS?$" $name) (contains "memory:" $value) }}
- extraEnv: {{ .name }}: "memory:" forgets everything with the pod. Name a real server
{{- end }}
{{- if regexMatch "^(HONGBAOD_CONFIG|POD_NAME|HONGBAOD__(SHUTDOWN__GRACE|ADMIN__.*|NOTIFY__LISTEN|AUDIT__FILE|RABBITMQ__PREFIX|REDIS__MODE|ALIPAY__GATEWAY|TRACE__OTLP_ENDPOINT))$" $name }}
- extraEnv: {{ .name }} would pass the chart by, which derives other things from it. Set it below config
{{- end }}
{{- end }}
{{- end -}}

{{- define "hongbaod.refusals.scaling" -}}
{{- with .Values.autoscaling }}
{{- if and .keda.enabled .hpa.enabled }}
- autoscaling: keda and hpa are both on and would work against each other. Switch one off
{{- end }}
{{- if and (or .keda.enabled .hpa.enabled) (gt (.minReplicas | int) (.maxReplicas | int)) }}
- autoscaling: minReplicas ({{ .minReplicas }}) is more than maxReplicas ({{ .maxReplicas }})
{{- end }}
{{- if and .keda.enabled (eq .keda.trigger "rabbitmq") (not (and .keda.rabbitmq.secret .keda.rabbitmq.key)) }}
- autoscaling.keda.rabbitmq: secret and key are missing. Put the URL of RabbitMQ's management (http://user:password@host:15672/vhost) into a Secret and name both
{{- end }}
{{- if and .keda.enabled (eq .keda.trigger "prometheus") (not .keda.prometheus.serverAddress) }}
- autoscaling.keda.prometheus.serverAddress: is missing. Write the address of Prometheus, http://host:9090
{{- end }}
{{- end }}
{{- end -}}

{{- define "hongbaod.refusals.audit" -}}
{{- $file := .Values.config.audit.file -}}
{{- with .Values.audit.persistence }}
{{- $mount := trimSuffix "/" .mountPath }}
{{- $elsewhere := false }}
{{- range $.Values.extraVolumeMounts }}
{{- if hasPrefix (printf "%s/" (trimSuffix "/" .mountPath)) (default "" $file) }}{{ $elsewhere = true }}{{ end }}
{{- end }}
{{- if and $file (not .enabled) (not $elsewhere) }}
- config.audit.file: needs a disk, for the root file system is read-only. Set audit.persistence.enabled: true, or mount one there by extraVolumes and extraVolumeMounts
{{- end }}
{{- if and .enabled (not (hasPrefix (printf "%s/" $mount) (default "" $file))) (not $elsewhere) }}
- audit.persistence: nothing would be written to the disk. Write config.audit.file: {{ $mount }}/audit.jsonl
{{- end }}
{{- end }}
{{- end -}}
