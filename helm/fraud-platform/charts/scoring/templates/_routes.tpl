{{/*
Rules of both routes. A canary's are, by precedence: many transactions at once go to the champion; a customer's bucket says
his side; the weights split what has no bucket. A rule may have 64 matches, so the buckets of a side take two.
*/}}

{{/* backendRefs: (dict "root" $ "port" 3000 "component" ..). */}}
{{- define "fraud-platform.scoring.backend" -}}
backendRefs: [{name: {{ include "fraud-platform.name" . }}, port: {{ .port }}}]
{{- end -}}

{{/* Rules by bucket: (dict "root" $ "port" 3000). */}}
{{- define "fraud-platform.scoring.bucketRules" -}}
{{- $root := .root -}}
{{- $port := .port -}}
{{- $moved := include "fraud-platform.scoring.buckets" .root | splitList " " | compact -}}
{{- $stayed := list -}}
{{- range $number := until 100 -}}
{{- $bucket := printf "%02d" $number -}}
{{- if not (has $bucket $moved) }}{{ $stayed = append $stayed $bucket }}{{ end -}}
{{- end -}}
{{- range $component, $buckets := dict "scoring" $stayed "scoring-challenger" $moved -}}
{{- range $some := chunk 64 $buckets }}
- matches:
    {{- range $some }}
    - headers: [{type: Exact, name: x-fraud-bucket, value: {{ . | quote }}}]
    {{- end }}
  {{- include "fraud-platform.scoring.backend" (dict "root" $root "component" $component "port" $port) | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}

{{/* The rule for everything: (dict "root" $ "port" 3000). */}}
{{- define "fraud-platform.scoring.remainingRule" -}}
{{- if eq .root.Values.rollout.stage "canary" }}
- backendRefs:
    - {name: {{ include "fraud-platform.name" (dict "root" .root "component" "scoring") }}, port: {{ .port }}, weight: {{ sub 100 .root.Values.rollout.weight }}}
    - {name: {{ include "fraud-platform.name" (dict "root" .root "component" "scoring-challenger") }}, port: {{ .port }}, weight: {{ .root.Values.rollout.weight }}}
{{- else }}
- {{ include "fraud-platform.scoring.backend" (dict "root" .root "component" "scoring" "port" .port) }}
{{- end }}
{{- end -}}

{{/* parentRefs and hostnames: (dict "root" $ "listener" ..). */}}
{{- define "fraud-platform.scoring.parent" -}}
{{- with .root.Values.expose -}}
parentRefs:
  - name: {{ .gateway.name }}
    namespace: {{ .gateway.namespace | default $.root.Release.Namespace }}
    {{- with $.listener }}
    sectionName: {{ . }}
    {{- end }}
{{- with .hostnames }}
hostnames:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}
{{- end -}}
