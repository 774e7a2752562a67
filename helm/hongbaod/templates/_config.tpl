{{/* hongbaod.toml, from .Values.config. */}}

{{- define "hongbaod.toml" -}}
# Written by the Helm chart from the values below `config`.
{{- range $name := keys .Values.config | sortAlpha }}
{{- include "hongbaod.toml.table" (dict "path" $name "table" (get $.Values.config $name)) }}
{{- end }}
{{ end -}}

{{/* One table, its own keys first: in TOML what follows the header of another one would be that one's. */}}
{{- define "hongbaod.toml.table" -}}
{{- $path := .path -}}
{{- $table := default dict .table -}}
{{- $lines := list -}}
{{- $tables := list -}}
{{- range $key := keys $table | sortAlpha -}}
{{- $value := get $table $key -}}
{{- if kindIs "invalid" $value -}}
{{- else if and (kindIs "map" $value) (hasSuffix "_file" $key) -}}
{{- $lines = append $lines (printf "%s = %s" $key (include "hongbaod.secretPath" (dict "path" $path "key" $key) | toRawJson)) -}}
{{- else if kindIs "map" $value -}}
{{- $tables = append $tables $key -}}
{{- else -}}
{{- $lines = append $lines (printf "%s = %s" $key (include "hongbaod.toml.value" $value)) -}}
{{- end -}}
{{- end -}}
{{- if $lines }}

[{{ $path }}]
{{- range $lines }}
{{ . }}
{{- end }}
{{- end -}}
{{- range $tables -}}
{{- include "hongbaod.toml.table" (dict "path" (printf "%s.%s" $path .) "table" (get $table .)) -}}
{{- end -}}
{{- end -}}

{{/* JSON's strings are TOML's, but for DEL, which TOML wants escaped. Whole numbers come as floats. */}}
{{- define "hongbaod.toml.value" -}}
{{- if kindIs "string" . -}}
{{- toRawJson . | replace "\u007f" "\\u007F" -}}
{{- else if kindIs "slice" . -}}
[{{ range $index, $item := . }}{{ if $index }}, {{ end }}{{ include "hongbaod.toml.value" $item }}{{ end }}]
{{- else if and (kindIs "float64" .) (eq (floor .) .) -}}
{{- int64 . -}}
{{- else -}}
{{- toRawJson . -}}
{{- end -}}
{{- end -}}

{{/* Where the file of a key is mounted: alipay.apps.main, private_key_file: .../apps/main/private_key. */}}
{{- define "hongbaod.secretPath" -}}
/etc/hongbaod-secrets/{{ include "hongbaod.secretItem" . }}
{{- end -}}

{{- define "hongbaod.secretItem" -}}
{{- printf "%s/%s" (.path | replace "." "/" | trimPrefix "alipay/") (trimSuffix "_file" .key) -}}
{{- end -}}

{{/* The sources of the projected volume: one for each file that is a reference. No subPath anywhere, so that
     a Secret that changes reaches the running pod. */}}
{{- define "hongbaod.secretSources" -}}
{{- range $name := keys .Values.config | sortAlpha -}}
{{- include "hongbaod.secretSources.table" (dict "path" $name "table" (get $.Values.config $name)) -}}
{{- end -}}
{{- end -}}

{{- define "hongbaod.secretSources.table" -}}
{{- $path := .path -}}
{{- $table := default dict .table -}}
{{- range $key := keys $table | sortAlpha -}}
{{- $value := get $table $key -}}
{{- if and (kindIs "map" $value) (hasSuffix "_file" $key) }}
- {{ ternary "secret" "configMap" (hasKey $value "secret") }}:
    name: {{ default $value.configMap $value.secret }}
    items:
      - key: {{ $value.key | quote }}
        path: {{ include "hongbaod.secretItem" (dict "path" $path "key" $key) }}
{{- else if kindIs "map" $value -}}
{{- include "hongbaod.secretSources.table" (dict "path" (printf "%s.%s" $path $key) "table" $value) -}}
{{- end -}}
{{- end -}}
{{- end -}}
